"""The files of a store: their names, their dtypes, and how their tensors are read."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.errors import DataError
from biofm_datasets.store.tensor_file import COPY_AGAIN, DTYPES, StoredValues, map_tensors

RECORD = "store.json"
UNFINISHED = ".unfinished"
"""The folder, within that of a store, where one that is being written lies."""
PARTS = ("train", "validation", "test", "removed")
"""Of a split. What is removed belongs to no part, because it resembles what is held out."""
TRAIN, VALIDATION, TEST, REMOVED = range(len(PARTS))
"""The label of each part: its place in ``PARTS``."""


class TensorFile(NamedTuple):
    """A file with one tensor. ``dtypes``: those that it may have."""

    tensor: str
    dtypes: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.tensor}.safetensors"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values, of a file that may have one dtype only."""
        (dtype,) = self.dtypes
        return DTYPES[dtype]

    @property
    def itemsize(self) -> int:
        """Bytes of a value."""
        return self.dtype.itemsize

    def stored(self, folder: Path) -> StoredValues:
        """The tensor of a file that may have one dtype only, read a slice at a time."""
        return StoredValues(folder / self.name, self.dtype)

    def map(self, folder: Path) -> NDArray[Any]:
        """The tensor as a memory map. Raises DataError: the file is damaged, or holds something else."""
        (found,) = map_named(folder / self.name, (self.tensor,), self.dtypes).values()
        return found


TOKENS = TensorFile("tokens", ("U8", "U16", "U32"))
OFFSETS = TensorFile("offsets", ("I64",))
IDS = TensorFile("ids", ("U8",))
ID_OFFSETS = TensorFile("id_offsets", ("I64",))
HASHES = TensorFile("hashes", ("U64",))
VALUES = TensorFile("values", ("F32",))
"""A number for each token, such as a gene's expression; only where models read such."""
KEYS = TensorFile("keys", ("U64",))
"""What a split goes by, of each sequence; only while the store is being written."""

STREAMED = (TOKENS, OFFSETS, IDS, ID_OFFSETS, HASHES)
SPLIT = "split.safetensors"
DATA_FILES = (*(file.name for file in STREAMED), SPLIT)
ALL_FILES = (*DATA_FILES, VALUES.name)


def store_files(folder: Path) -> tuple[Path, ...]:
    """Everything that is read of a store in this folder."""
    values = [folder / VALUES.name] if (folder / VALUES.name).exists() else []
    return (*(folder / name for name in (RECORD, *DATA_FILES)), *values)


def map_split(folder: Path) -> dict[str, NDArray[Any]]:
    """The members of each part. Raises DataError as ``TensorFile.map`` does."""
    return map_named(folder / SPLIT, PARTS, ("I64",))


def map_named(path: Path, names: tuple[str, ...], dtypes: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    tensors = map_tensors(path)
    allowed = {DTYPES[dtype] for dtype in dtypes}
    if set(tensors) != set(names) or not {array.dtype for array in tensors.values()} <= allowed:
        found = ", ".join(f"{name} ({array.dtype})" for name, array in tensors.items()) or "nothing"
        what = f"this file holds {found} instead of {', '.join(names)}"
        raise DataError(what, where=str(path), remedy=COPY_AGAIN)
    return {name: tensors[name] for name in names}
