"""The matrix ``X`` stays on the disk, dense or as sparse rows; some of its rows are read at a time."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from biofm.core.errors import InputError

CACHE_BYTES = 1 << 20
NUMBERS = "fiub"
STORE = "Store the embeddings there as a matrix of numbers"
COLUMNS, ROWS = ("csc_matrix", "csc"), ("csr_matrix", "csr")
"""The names of the sparse formats: the present one and that of old files."""


class Matrix(Protocol):
    """Reads some rows at a time from a matrix on the disk."""

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns the matrix has, as the file says."""

    @property
    def n_held_bytes(self) -> int:
        """How many bytes of the matrix HDF5 keeps in memory while it is read."""

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the rows from ``start`` (from 0) up to, but without, ``stop``."""


def open_matrix(element: Any, where: str) -> Matrix:
    """Return the matrix in ``element``, a dataset or a group of ``h5py``.

    Raises:
        InputError: It is not a matrix of numbers, or it is stored by columns.
    """
    from h5py import Group

    if not isinstance(element, Group):
        return _Dense(element, where)
    encoding = text_attribute(element, "encoding-type") or text_attribute(element, "h5sparse_format")
    if encoding in ROWS:
        return _SparseRows(element, where)
    if encoding in COLUMNS:
        what, remedy = "the matrix is stored by columns", "Store it by rows: adata.X = adata.X.tocsr()"
        raise InputError(what, where=where, remedy=remedy)
    raise InputError("this is not a matrix", where=where, remedy=STORE)


def text_attribute(element: Any, name: str) -> str:
    """Return a text attribute of an object of ``h5py``; empty if it has none.

    Files that Python did not write may hold bytes instead of text.
    """
    value = element.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


class _Dense:
    def __init__(self, dataset: Any, where: str) -> None:
        if dataset.shape is None or len(dataset.shape) != 2 or dataset.dtype.kind not in NUMBERS:
            what = f"this is not a matrix of numbers: its shape is {dataset.shape}, its type {dataset.dtype}"
            raise InputError(what, where=where, remedy=STORE)
        self.shape: tuple[int, int] = dataset.shape
        self.n_held_bytes = CACHE_BYTES
        if dataset.chunks is not None:
            band = min(dataset.chunks[0], self.shape[0])
            n_columns = -(-self.shape[1] // dataset.chunks[1]) * dataset.chunks[1]
            self.n_held_bytes = max(CACHE_BYTES, band * n_columns * dataset.dtype.itemsize)
        self._dataset = _with_cache(dataset, self.n_held_bytes)

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # Numbers too large for float32 become infinite, which is refused.
            return np.asarray(self._dataset[start:stop], dtype=np.float32)


def _with_cache(dataset: Any, n_bytes: int) -> Any:
    """Return the dataset with a cache for one band of chunks, so that each chunk is unpacked only once."""
    from h5py import Dataset, h5d, h5p

    access = h5p.create(h5p.DATASET_ACCESS)
    access.set_chunk_cache(521, n_bytes, 1.0)
    return Dataset(h5d.open(dataset.parent.id, dataset.name.rpartition("/")[2].encode(), access))


class _SparseRows:
    """Reads compressed sparse rows. Every index is checked before its use: scipy does not check bounds."""

    n_held_bytes = 3 * CACHE_BYTES

    def __init__(self, group: Any, where: str) -> None:
        self._where = where
        self._values, self._columns, self._ends = group["data"], group["indices"], group["indptr"]
        shape = np.atleast_1d(group.attrs["shape" if "shape" in group.attrs else "h5sparse_shape"])
        if shape.shape != (2,) or shape.dtype.kind not in "iu" or (shape < 0).any():
            self._refuse(f"its shape is {shape.tolist()}")
        self.shape = (int(shape[0]), int(shape[1]))
        for name, part, kinds in (
            ("data", self._values, NUMBERS), ("indices", self._columns, "iu"), ("indptr", self._ends, "iu"),
        ):  # fmt: skip
            if part.shape is None or len(part.shape) != 1 or part.dtype.kind not in kinds:
                self._refuse(f"{name} is not a one-dimensional array of numbers")
        if len(self._ends) != self.shape[0] + 1 or len(self._columns) != len(self._values):
            self._refuse("the lengths of indptr, indices and data do not match")

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        from scipy.sparse import csr_array

        ends = self._ends[start : stop + 1].astype(np.int64)
        counts = np.diff(ends)
        if (
            ends[0] < 0
            or (counts < 0).any()
            or (counts > self.shape[1]).any()
            or ends[-1] > len(self._values)
        ):
            self._refuse(f"indptr is wrong between rows {start + 1} and {stop}")
        columns = self._columns[ends[0] : ends[-1]].astype(np.int64)
        if len(columns) and (columns.min() < 0 or columns.max() >= self.shape[1]):
            self._refuse(f"indices name columns that do not exist, between rows {start + 1} and {stop}")
        with np.errstate(over="ignore"):
            values = self._values[ends[0] : ends[-1]].astype(np.float32)
        dense: NDArray[np.float32] = csr_array(
            (values, columns, ends - ends[0]), shape=(stop - start, self.shape[1])
        ).toarray()
        return dense

    def _refuse(self, what: str) -> None:
        what = f"the sparse matrix is damaged: {what}"
        raise InputError(what, where=self._where, remedy="Create the file again")
