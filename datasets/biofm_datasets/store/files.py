"""The files of a store: what they are called, which dtypes they have, and how their tensors are read."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.errors import DataError
from biofm_datasets.store.tensor_file import COPY_AGAIN, DTYPES, StoredValues, map_tensors

RECORD = "store.json"
UNFINISHED = ".unfinished"
"""The folder, inside that of a store, in which a store is written until it is complete."""
PARTS = ("train", "validation", "test", "removed")
"""The parts of a split. Removed sequences resemble held-out ones and are not used."""
TRAIN, VALIDATION, TEST, REMOVED = range(len(PARTS))
"""The label of each part: its place in ``PARTS``."""


class TensorFile(NamedTuple):
    """Describes a file with one tensor. ``dtypes`` holds the dtypes that the tensor may have."""

    tensor: str
    dtypes: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.tensor}.safetensors"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values, if only one is possible."""
        (dtype,) = self.dtypes
        return DTYPES[dtype]

    @property
    def itemsize(self) -> int:
        """The bytes that a value has."""
        return self.dtype.itemsize

    def stored(self, folder: Path) -> StoredValues:
        """Return the tensor of a file that has only one possible dtype, to be read a slice at a time."""
        return StoredValues(folder / self.name, self.dtype)

    def map(self, folder: Path) -> NDArray[Any]:
        """Return the tensor as a memory map.

        Raises:
            DataError: The file is damaged, or holds something else.
        """
        (found,) = map_named(folder / self.name, (self.tensor,), self.dtypes).values()
        return found


TOKENS = TensorFile("tokens", ("U8", "U16", "U32"))
OFFSETS = TensorFile("offsets", ("I64",))
IDS = TensorFile("ids", ("U8",))
ID_OFFSETS = TensorFile("id_offsets", ("I64",))
HASHES = TensorFile("hashes", ("U64",))
VALUES = TensorFile("values", ("F32",))
"""One number for each token, such as a gene's expression; only for models that read values."""
KEYS = TensorFile("keys", ("U64",))
"""The part or group of each sequence, as a number; only while the store is being written."""

STREAMED = (TOKENS, OFFSETS, IDS, ID_OFFSETS, HASHES)
SPLIT = "split.safetensors"
DATA_FILES = (*(file.name for file in STREAMED), SPLIT)
ALL_FILES = (*DATA_FILES, VALUES.name)


def store_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of a store that are read.

    Args:
        folder: The folder of the store.
    """
    values = [folder / VALUES.name] if (folder / VALUES.name).exists() else []
    return (*(folder / name for name in (RECORD, *DATA_FILES)), *values)


def map_split(folder: Path) -> dict[str, NDArray[Any]]:
    """Return the members of each part.

    Raises:
        DataError: See ``TensorFile.map``.
    """
    return map_named(folder / SPLIT, PARTS, ("I64",))


def map_named(path: Path, names: tuple[str, ...], dtypes: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return the tensors of a file, which must have these names and dtypes, as memory maps."""
    tensors = map_tensors(path)
    allowed = {DTYPES[dtype] for dtype in dtypes}
    if set(tensors) != set(names) or not {array.dtype for array in tensors.values()} <= allowed:
        found = ", ".join(f"{name} ({array.dtype})" for name, array in tensors.items()) or "nothing"
        what = f"this file holds {found} instead of {', '.join(names)}"
        raise DataError(what, where=str(path), remedy=COPY_AGAIN)
    return {name: tensors[name] for name in names}
