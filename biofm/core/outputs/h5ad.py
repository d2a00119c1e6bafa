"""The format ``.h5ad`` is AnnData's (https://anndata.readthedocs.io/en/stable/fileformat-prose.html).

``X`` holds the embeddings. The index of ``obs`` holds the ids, that of ``var`` the names of the dimensions
(``e0``...), and ``uns["biofm"]`` says how the embeddings were made. With one row per residue the index of
``obs`` holds ``id:residue``, and its column ``record`` (the protein's number in the input, from 1)
distinguishes proteins with the same id. Columns that travel with the records are the last ones of ``obs``.
"""

import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from biofm_datasets import Cell
from numpy.typing import NDArray

from biofm.core.outputs.block import Cells, EmbeddingBlock, ProvenanceFields, kinds_of
from biofm.core.outputs.unfailing import UnfailingFile

if TYPE_CHECKING:
    import h5py

CHUNK_BYTES = 128 << 10
N_CHUNK_LABELS = 1024
EMPTY_GROUPS = ("layers", "obsm", "obsp", "uns", "varm", "varp")

Rows = Cells | NDArray[np.float32] | NDArray[np.int64]


class H5adWriter:
    """Appends rows to resizable, chunked HDF5 datasets."""

    def __init__(self, handle: BinaryIO, *, per_residue: bool) -> None:
        import h5py  # It is heavy, and every command imports this module.

        self._output = UnfailingFile(handle)
        self._file = h5py.File(self._output, "w")
        # If the file were still open when Python ends, HDF5 would call Python objects that no longer exist.
        weakref.finalize(self, self._file.close)
        self._per_residue = per_residue
        self._is_laid_out = False

    def append(self, block: EmbeddingBlock) -> None:
        block.check_rows(self._per_residue)
        with self._output.faults_raised():
            self._lay_out(block.values.shape[1], kinds_of(block.columns))
            _extend(self._file["X"], block.values)
            for name, column in self._columns(block).items():
                _extend(self._file["obs"][name], column)

    def close(self, provenance: ProvenanceFields) -> None:
        with self._output.faults_raised():
            self._lay_out(0, {})
            fields = self._file["uns"].create_group("biofm")
            _encode(fields, "dict", "0.1.0")
            for name, value in provenance.items():
                fields[name] = value
                _encode(fields[name], "string" if isinstance(value, str) else "numeric-scalar", "0.2.0")
            self._file.close()

    def _columns(self, block: EmbeddingBlock) -> dict[str, Rows]:
        travelling = {name: block.cells(name, per_residue=self._per_residue) for name in block.columns}
        if not self._per_residue:
            return {"_index": block.ids, "n_residues": block.n_residues, **travelling}
        ids, records, numbers = block.residues()
        labels = [f"{id_}:{number}" for id_, number in zip(ids, numbers, strict=True)]
        return {"_index": labels, "protein": ids, "record": records, "residue": numbers, **travelling}

    def _lay_out(self, d_embedding: int, kinds: Mapping[str, type[Cell]]) -> None:
        """Create all groups and datasets at the first call; later calls do nothing.

        ``kinds`` are the types of the columns that travel with the records.
        """
        if self._is_laid_out:
            return
        self._is_laid_out = True
        _encode(self._file, "anndata", "0.1.0")
        for name in EMPTY_GROUPS:
            _encode(self._file.create_group(name), "dict", "0.1.0")
        _create_values(self._file, d_embedding)
        text = _text_dtype()
        of_residues = {"protein": text, "record": np.int64, "residue": np.int64}
        types = of_residues if self._per_residue else {"n_residues": np.int64}
        types |= {name: {str: text, int: np.int64, float: np.float64}[kind] for name, kind in kinds.items()}
        obs = _create_frame(self._file, "obs", list(types))
        for name, dtype in {"_index": text, **types}.items():
            labels = obs.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(N_CHUNK_LABELS,))
            _encode(labels, "string-array" if dtype is text else "array", "0.2.0")
        var = _create_frame(self._file, "var", [])
        names = [f"e{dimension}" for dimension in range(d_embedding)]
        _encode(var.create_dataset("_index", data=names, dtype=text), "string-array", "0.2.0")


def _create_values(file: "h5py.File", d_embedding: int) -> None:
    if d_embedding == 0:  # HDF5 allows no empty chunks, and no rows will follow.
        values = file.create_dataset("X", (0, 0), np.float32)
    else:
        n_chunk_rows = max(1, CHUNK_BYTES // (4 * d_embedding))
        chunks = (n_chunk_rows, d_embedding)
        values = file.create_dataset(
            "X", (0, d_embedding), np.float32, maxshape=(None, d_embedding), chunks=chunks
        )
    _encode(values, "array", "0.2.0")


def _create_frame(file: "h5py.File", name: str, columns: list[str]) -> "h5py.Group":
    frame = file.create_group(name)
    _encode(frame, "dataframe", "0.2.0")
    frame.attrs["_index"] = "_index"
    frame.attrs["column-order"] = np.array(columns, dtype=_text_dtype())
    return frame


def _encode(element: "h5py.Group | h5py.Dataset", encoding: str, version: str) -> None:
    element.attrs["encoding-type"] = encoding
    element.attrs["encoding-version"] = version


def _extend(dataset: "h5py.Dataset", rows: Rows) -> None:
    n_before = len(dataset)
    dataset.resize(n_before + len(rows), axis=0)
    dataset[n_before:] = rows


def _text_dtype() -> "np.dtype[np.object_]":
    import h5py

    dtype: np.dtype[np.object_] = h5py.string_dtype()
    return dtype
