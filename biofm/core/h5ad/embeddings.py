"""Embeddings in an ``.h5ad`` file (https://anndata.readthedocs.io/en/stable/fileformat-prose.html).

``X`` stays on the disk. What is read is the open file that was given, and no other: its whole tree is looked
at first, and anndata gets elements of it, never a path.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.core.errors import BiofmError, InputError
from biofm.core.h5ad.matrix import Matrix, open_matrix, text_attribute
from biofm.core.h5ad.tree import TRUST, check_tree
from biofm.core.memory import free_bytes

MAKE = "Make one with `biofm embed`"
ID_BYTES = 150
"""What an id takes in memory while the index is read, its text aside."""
TEXT_BYTES = 256 << 20
"""Of an index, what a hostile file may make HDF5 unpack at once."""
TEXTS = ("", "array", "categorical", "nullable-string-array", "string-array")
"""How an index may be encoded; of old files nothing is said."""
MOST_LETTERS = 100
"""Of the name of a modality."""
OTHER_SUFFIXES = (".csv", ".npz", ".parquet", ".safetensors", ".tsv")


class Embeddings:
    """A matrix with a name for each row. ``ids`` may repeat; ``where`` is what messages call the file.
    ``modality`` is the name of what the rows are of, "" where the file does not say it.
    """

    def __init__(self, ids: list[str], matrix: Matrix, where: str, modality: str) -> None:
        self.ids = ids
        self.modality = modality
        self.where = where
        self.n_dimensions = matrix.shape[1]
        self._matrix = matrix

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Some rows, read from the disk. Raises InputError where they cannot be, or hold inf or nan."""
        with _faults(self.where):
            rows = self._matrix.rows(start, stop)
        finite = np.isfinite(rows).all(1)
        if not finite.all():
            row = start + int(np.argmin(finite))
            what = f"row {row + 1} ({self.ids[row]}) holds inf or nan"
            remedy = "Embed again with another --dtype: float16 may overflow"
            raise InputError(what, where=self.where, remedy=remedy)
        return rows


@contextmanager
def open_embeddings(stream: BinaryIO, where: str) -> Iterator[Embeddings]:
    """The embeddings in an open ``.h5ad`` file, one row a protein. Raises InputError for any other file."""
    import h5py  # costs a tenth of a second, which `biofm --help` should not pay

    if not stream.seekable():
        raise InputError("an .h5ad cannot come through a pipe", where=where, remedy="Name the file")
    n_file_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    suffix = Path(where).suffix.lower()
    if suffix in OTHER_SUFFIXES:
        what, remedy = f"embeddings are read from .h5ad, not from {suffix}", "Embed again into an .h5ad"
        raise InputError(what, where=where, remedy=remedy)
    with _faults(where):
        file = h5py.File(stream, "r")
    try:
        with _faults(where):
            check_tree(file, where, n_file_bytes)
            found = _read(file, where, n_file_bytes)
        yield found
    finally:
        file.close()


def _read(file: Any, where: str, n_file_bytes: int) -> Embeddings:
    for name in ("X", "obs"):
        if name not in file:
            raise InputError(f"there is no {name} in this file", where=where, remedy=MAKE)
    obs = file["obs"]
    if "_index" not in obs.attrs or not hasattr(obs, "keys"):
        what = "obs says nothing of its index, as in files of anndata before 0.7"
        raise InputError(what, where=f"{where}, /obs", remedy=TRUST)
    if "residue" in obs:
        what = "this file has a row a residue, not one a protein"
        raise InputError(what, where=where, remedy="Embed with --pool mean")
    matrix = open_matrix(file["X"], f"{where}, /X")
    _check_memory(matrix, where)
    index = text_attribute(obs, "_index")
    if index not in obs:
        raise InputError(f"obs has no column {index!r}, its index", where=f"{where}, /obs", remedy=MAKE)
    ids = _ids(obs[index], matrix.shape[0], f"{where}, /obs/{index}", n_file_bytes)
    return Embeddings(ids, matrix, where, _modality(file))


def _modality(file: Any) -> str:
    """What `biofm embed` says of it in ``uns``."""
    said = file.get("uns/biofm/modality")
    if getattr(said, "shape", None) != () or said.dtype.kind != "O":
        return ""
    return str(said.asstr()[()])[:MOST_LETTERS]


def _ids(element: Any, n_rows: int, where: str, n_file_bytes: int) -> list[str]:
    from anndata.io import read_elem  # a second, with pandas

    n_ids = _check_texts(element, where, n_file_bytes)
    if n_ids != n_rows:
        what = f"{n_ids:,} ids do not fit {n_rows:,} rows of X"
        raise InputError(what, where=where, remedy="The file is damaged: make it again")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old files, which are read all the same
        ids = np.asarray(read_elem(element), dtype=object).tolist()
    for row, id_ in enumerate(ids):
        if not isinstance(id_, str | int):
            what = f"row {row + 1} has no id, or one that is no text"
            raise InputError(what, where=where, remedy="Give every row of obs a name")
    return [str(id_) for id_ in ids]


def _check_texts(element: Any, where: str, n_file_bytes: int) -> int:
    """How many texts an index holds. Raises InputError where it is none, or larger than the file."""
    encoding = text_attribute(element, "encoding-type")
    if encoding not in TEXTS:
        raise InputError(f"an index is not read from {encoding!r}", where=where, remedy=MAKE)
    if encoding == "nullable-string-array":
        _check_numbers(element["mask"], where)
        return _check_texts(element["values"], where, n_file_bytes)
    if encoding == "categorical":
        _check_texts(element["categories"], where, n_file_bytes)
        return _check_numbers(element["codes"], where)
    if getattr(element, "shape", None) is None or len(element.shape) != 1:
        raise InputError("an index is one row of texts", where=where, remedy=MAKE)
    if element.dtype.kind == "O":
        _check_lengths(element, where, n_file_bytes)
        return len(element)
    if element.dtype.kind not in "iuS":
        raise InputError(f"an index is no {element.dtype}", where=where, remedy=MAKE)
    return len(element)


def _check_numbers(element: Any, where: str) -> int:
    if getattr(element, "shape", None) is None or len(element.shape) != 1 or element.dtype.kind not in "iub":
        raise InputError("the parts of an index do not fit each other", where=where, remedy=MAKE)
    return len(element)


def _check_lengths(texts: Any, where: str, n_file_bytes: int) -> None:
    """Texts of any length lie apart from their places in the index, and a thousand places may share one."""
    n_at_once = min(4096, max(4, TEXT_BYTES // max(1, n_file_bytes)))
    n_bytes = 0
    for start in range(0, len(texts), n_at_once):
        n_bytes += sum(len(text) for text in texts[start : start + n_at_once])
        if n_bytes > n_file_bytes:
            remedy = "The file is damaged: make it again"
            raise InputError("its texts are longer than the whole file", where=where, remedy=remedy)


def _check_memory(matrix: Matrix, where: str) -> None:
    n_bytes, n_free = matrix.shape[0] * ID_BYTES + matrix.n_held_bytes, free_bytes()
    if n_free is not None and n_bytes > n_free:
        what = f"to read {matrix.shape[0]:,} rows takes {n_bytes:,} bytes of memory, and {n_free:,} are free"
        raise InputError(what, where=f"{where}, /X", remedy="Write it with smaller chunks, or in parts")


@contextmanager
def _faults(where: str) -> Iterator[None]:
    """What HDF5, h5py and anndata raise, each of its own kinds, means a file that is none or damaged."""
    try:
        yield
    except BiofmError:
        raise
    except Exception as error:
        what = f"not an .h5ad of embeddings ({' '.join(str(error).split())})"
        raise InputError(what, where=where, remedy=MAKE) from error
