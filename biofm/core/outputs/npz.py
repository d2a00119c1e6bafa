"""The format ``.npz`` has the arrays ``embeddings``, ``ids``, ``n_residues`` and ``provenance``.

The shape of ``embeddings`` is (rows, d); that of ``ids``, ``n_residues``, and ``column.NAME`` for each column
that travels with the records (text, int64 or float64), is (proteins,). ``np.load`` reads the file without
pickle; ``provenance`` is JSON: ``json.loads(str(file["provenance"]))``. With one row per residue, the rows of
a protein follow each other: ``np.split(embeddings, np.cumsum(n_residues)[:-1])``.
"""

import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from biofm.core.outputs.block import EmbeddingBlock, ProvenanceFields
from biofm.core.outputs.spool import CHUNK_BYTES, SpooledColumn, SpooledTable


class NpzWriter:
    """Collects the arrays in temporary files: the header of an array comes first and states its shape."""

    def __init__(self, handle: BinaryIO, scratch_folder: Path | None, *, per_residue: bool) -> None:
        self._handle = handle
        self._table = SpooledTable(scratch_folder, per_residue=per_residue)

    def append(self, block: EmbeddingBlock) -> None:
        self._table.append(block)

    def close(self, provenance: ProvenanceFields) -> None:
        table = self._table
        text = np.array(json.dumps(dict(provenance)))
        ids_dtype = np.dtype(f"<U{max(1, table.longest_id)}")
        with zipfile.ZipFile(self._handle, "w", zipfile.ZIP_STORED) as archive:
            shape = (table.n_rows, table.d_embedding)
            write_array(archive, "embeddings", "<f4", shape, table.values.chunks())
            write_array(archive, "n_residues", "<i8", (table.n_proteins,), table.n_residues.chunks())
            write_array(archive, "ids", ids_dtype, (table.n_proteins,), _padded_ids(table, ids_dtype))
            for name, column in table.columns.items():
                dtype, chunks = _spelled(column)
                write_array(archive, f"column.{name}", dtype, (table.n_proteins,), chunks)
            write_array(archive, "provenance", text.dtype, (), [text.tobytes()])
        table.close()


def write_array(
    archive: zipfile.ZipFile, name: str, dtype: DTypeLike, shape: tuple[int, ...], chunks: Iterable[bytes]
) -> None:
    """Write one array in NumPy's format (numpy.lib.format, version 1.0), a chunk at a time."""
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for chunk in chunks:
            member.write(chunk)


def _padded_ids(table: SpooledTable, dtype: "np.dtype[np.str_]") -> Iterator[bytes]:
    """Yield the ids as UTF-32, padded with zeros to the width of the longest."""
    for ids in table.ids(max(1, CHUNK_BYTES // dtype.itemsize)):
        yield np.array(ids, dtype=dtype).tobytes()


def _spelled(column: SpooledColumn) -> tuple[DTypeLike, Iterator[bytes]]:
    """Return the type and the content of a column's array. Texts are padded to the width of the longest."""
    if column.kind is not str:
        return "<i8" if column.kind is int else "<f8", column.cells.chunks()
    dtype = np.dtype(f"<U{max(1, column.longest)}")
    n_at_once = max(1, CHUNK_BYTES // dtype.itemsize)
    parts = (texts[i : i + n_at_once] for texts in column.texts() for i in range(0, len(texts), n_at_once))
    return dtype, (np.array(part, dtype=dtype).tobytes() for part in parts)
