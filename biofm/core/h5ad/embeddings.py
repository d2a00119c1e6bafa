"""Embeddings are read here from an ``.h5ad`` file.

The format is described at https://anndata.readthedocs.io/en/stable/fileformat-prose.html. ``X`` stays on the
disk. Only the given open file is read: its whole tree is checked first, and anndata receives elements of it,
never a path.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.core.errors import BiofmError, InputError
from biofm.core.h5ad.matrix import Matrix, open_matrix, text_attribute
from biofm.core.h5ad.tree import TRUST, check_tree
from biofm.core.memory import free_bytes

MAKE = "Create one with `biofm embed`"
DAMAGED = "The file is damaged: create it again"
ID_BYTES = 150
"""The memory that an id takes while the index is read, besides its text."""
TEXT_BYTES = 256 << 20
"""The most bytes of an index that a hostile file can make HDF5 unpack at once."""
TEXTS = ("", "array", "categorical", "nullable-string-array", "string-array")
"""The encodings that an index may have; old files do not name theirs."""
NO_HDF5 = "file signature not found"
"""What HDF5 says of a file of another format, in words that do not help."""
CUT_HDF5 = "truncated file"
"""What HDF5 says of a file that is shorter than it was."""
MOST_LETTERS = 100
"""The most characters that are read of a modality's name."""
OTHER_SUFFIXES = (".csv", ".npz", ".parquet", ".safetensors", ".tsv")


class Embeddings:
    """Holds embeddings whose values stay on the disk until they are read.

    Args:
        ids: An id for each row. Ids may repeat.
        matrix: The values.
        where: The name of the file in messages.
        modality: The kind of record that the rows are embeddings of, or "" if the file does not say it.
        model: The name of the model that made the embeddings, or "" if the file does not say it.
    """

    def __init__(self, ids: list[str], matrix: Matrix, where: str, modality: str, model: str = "") -> None:
        self.ids = ids
        self.modality = modality
        self.model = model
        self.where = where
        self.n_dimensions = matrix.shape[1]
        self._matrix = matrix

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return some rows, read from the disk.

        Args:
            start: The number of the first row, from 0.
            stop: The number after the last row.

        Raises:
            InputError: The rows cannot be read, or hold inf or nan.
        """
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
    """Give the embeddings of an open ``.h5ad`` file, which has one row per protein.

    Args:
        stream: The open file.
        where: The name of the file in messages.

    Raises:
        InputError: The file is not an ``.h5ad`` file with one row per protein, or it is damaged.
    """
    import h5py  # It takes a tenth of a second, which `biofm --help` should not pay.

    if not stream.seekable():
        raise InputError("an .h5ad file cannot be read from a pipe", where=where, remedy="Name the file")
    n_file_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    suffix = Path(where).suffix.lower()
    if suffix in OTHER_SUFFIXES:
        what = f"embeddings are read from .h5ad files, not from {suffix} files"
        remedy = "Embed again into an .h5ad file"
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
        what = "obs does not name its index, as in files that anndata wrote before version 0.7"
        raise InputError(what, where=f"{where}, /obs", remedy=TRUST)
    if "residue" in obs:
        what = "this file has one row per residue, not one row per protein"
        raise InputError(what, where=where, remedy="Embed with --pool mean")
    matrix = open_matrix(file["X"], f"{where}, /X")
    _check_memory(matrix, where)
    index = text_attribute(obs, "_index")
    if index not in obs:
        what = f"obs names {index!r} as its index, but has no such column"
        raise InputError(what, where=f"{where}, /obs", remedy=MAKE)
    ids = _ids(obs[index], matrix.shape[0], f"{where}, /obs/{index}", n_file_bytes)
    return Embeddings(ids, matrix, where, _modality(file), _model(file))


def _modality(file: Any) -> str:
    """Return the modality that `biofm embed` has stored in ``uns``, or "" if there is none."""
    said = file.get("uns/biofm/modality")
    if getattr(said, "shape", None) != () or said.dtype.kind != "O":
        return ""
    return str(said.asstr()[()])[:MOST_LETTERS]


def _model(file: Any) -> str:
    """Return the name of the model in ``uns``; empty if the file does not hold it."""
    said = file.get("uns/biofm/model")
    if getattr(said, "shape", None) != () or said.dtype.kind != "O":
        return ""
    return str(said.asstr()[()])[:MOST_LETTERS]


def _ids(element: Any, n_rows: int, where: str, n_file_bytes: int) -> list[str]:
    from anndata.io import read_elem  # Its import, with pandas, takes a second.

    n_ids = _check_texts(element, where, n_file_bytes)
    if n_ids != n_rows:
        what = f"there are {format_count(n_ids, 'id')} for {format_count(n_rows, 'row')} of X"
        raise InputError(what, where=where, remedy=DAMAGED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata warns of old files, which are read nevertheless.
        ids = np.asarray(read_elem(element), dtype=object).tolist()
    for row, id_ in enumerate(ids):
        if not isinstance(id_, str | int):
            what = f"row {row + 1} has no id, or its id is not text"
            raise InputError(what, where=where, remedy="Give every row of obs a name")
    return [str(id_) for id_ in ids]


def _check_texts(element: Any, where: str, n_file_bytes: int) -> int:
    """Return how many texts an index holds. Raise InputError if it is no index, or larger than the file."""
    encoding = text_attribute(element, "encoding-type")
    if encoding not in TEXTS:
        raise InputError(f"an index cannot have the encoding {encoding!r}", where=where, remedy=MAKE)
    if encoding == "nullable-string-array":
        _check_numbers(element["mask"], where)
        return _check_texts(element["values"], where, n_file_bytes)
    if encoding == "categorical":
        _check_texts(element["categories"], where, n_file_bytes)
        return _check_numbers(element["codes"], where)
    if getattr(element, "shape", None) is None or len(element.shape) != 1:
        raise InputError("the index is not a one-dimensional array of text", where=where, remedy=MAKE)
    if element.dtype.kind == "O":
        _check_lengths(element, where, n_file_bytes)
        return len(element)
    if element.dtype.kind not in "iuS":
        raise InputError(f"an index cannot have the type {element.dtype}", where=where, remedy=MAKE)
    return len(element)


def _check_numbers(element: Any, where: str) -> int:
    if getattr(element, "shape", None) is None or len(element.shape) != 1 or element.dtype.kind not in "iub":
        raise InputError("the parts of the index do not fit each other", where=where, remedy=MAKE)
    return len(element)


def _check_lengths(texts: Any, where: str, n_file_bytes: int) -> None:
    """Raise InputError if the texts of an index are longer than the file.

    HDF5 stores texts of any length apart from the index, and a thousand entries may share one text.
    """
    n_at_once = min(4096, max(4, TEXT_BYTES // max(1, n_file_bytes)))
    n_bytes = 0
    for start in range(0, len(texts), n_at_once):
        n_bytes += sum(len(text) for text in texts[start : start + n_at_once])
        if n_bytes > n_file_bytes:
            what = "the texts of the index are longer than the whole file"
            raise InputError(what, where=where, remedy=DAMAGED)


def _check_memory(matrix: Matrix, where: str) -> None:
    n_bytes, n_free = matrix.shape[0] * ID_BYTES + matrix.n_held_bytes, free_bytes()
    if n_free is not None and n_bytes > n_free:
        rows = format_count(matrix.shape[0], "row")
        what = f"reading {rows} takes {n_bytes:,} bytes of memory, but only {n_free:,} are free"
        remedy = "Write X with smaller chunks, or split the file"
        raise InputError(what, where=f"{where}, /X", remedy=remedy)


@contextmanager
def _faults(where: str) -> Iterator[None]:
    """Turn any error of HDF5, h5py or anndata into an InputError: the file is no ``.h5ad``, or damaged."""
    try:
        yield
    except BiofmError:
        raise
    except Exception as error:
        reason = "" if NO_HDF5 in str(error) else f" ({' '.join(str(error).split())})"
        what = f"this is not an .h5ad file of embeddings{reason}"
        if CUT_HDF5 in str(error):
            what = "this .h5ad file is incomplete: its end is missing"
        raise InputError(what, where=where, remedy=MAKE) from error
