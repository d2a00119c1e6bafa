"""The format ``.safetensors`` has tensors ``embeddings``, ``n_residues``, ``ids_utf8`` and ``ids_offsets``.

The shape of ``embeddings`` is (rows, d), that of ``n_residues`` is (proteins,). The format has no text: the
id of protein ``i`` is ``bytes(ids_utf8[ids_offsets[i]:ids_offsets[i + 1]]).decode()``. With one row per
residue, the ``n_residues`` rows of a protein follow each other.

A column of numbers that travels with the records is a tensor ``column.NAME`` (proteins,). A column of text is
two tensors, ``column.NAME/utf8`` and ``column.NAME/offsets``, laid out like the ids. ``__metadata__`` holds
the provenance and, under ``columns``, the type of each column as JSON: "text", "I64" or "F64". The layout of
the file is described at https://github.com/huggingface/safetensors#format.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from biofm.core.outputs.block import EmbeddingBlock, ProvenanceFields
from biofm.core.outputs.spool import Spool, SpooledColumn, SpooledTable, Strand

ALIGNMENT_BYTES = 8
TYPES = {str: "text", int: "I64", float: "F64"}

Tensor = tuple[str, list[int], Spool | Strand]
"""A tensor's type, shape and bytes."""


class SafetensorsWriter:
    """Collects the tensors in temporary files: the file's header, which comes first, states their shapes."""

    def __init__(self, handle: BinaryIO, scratch_folder: Path | None, *, per_residue: bool) -> None:
        self._handle = handle
        self._table = SpooledTable(scratch_folder, per_residue=per_residue)

    def append(self, block: EmbeddingBlock) -> None:
        self._table.append(block)

    def close(self, provenance: ProvenanceFields) -> None:
        table = self._table
        # The widest numbers come first, so that each tensor begins at a multiple of its number's width.
        wide, narrow = _tensors(table.columns, table.n_proteins)
        tensors: dict[str, Tensor] = {
            "ids_offsets": ("I64", [table.n_proteins + 1], table.ids_offsets),
            "n_residues": ("I64", [table.n_proteins], table.n_residues),
            **wide,
            "embeddings": ("F32", [table.n_rows, table.d_embedding], table.values),
            "ids_utf8": ("U8", [table.ids_utf8.n_bytes], table.ids_utf8),
            **narrow,
        }
        kinds = {name: TYPES[column.kind] for name, column in table.columns.items()}
        of_columns = {"columns": json.dumps(kinds)} if kinds else {}
        header: dict[str, object] = {"__metadata__": _texts(provenance) | of_columns}
        end = 0
        for name, (dtype, shape, spool) in tensors.items():
            begin, end = end, end + spool.n_bytes
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % ALIGNMENT_BYTES)
        self._handle.write(len(text).to_bytes(8, "little"))
        self._handle.write(text)
        for _, _, spool in tensors.values():
            for chunk in spool.chunks():
                self._handle.write(chunk)
        table.close()


def _tensors(
    columns: Mapping[str, SpooledColumn], n_proteins: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors of the columns: those with 8 bytes per number, and those of text."""
    wide: dict[str, Tensor] = {}
    narrow: dict[str, Tensor] = {}
    for name, column in columns.items():
        if column.kind is str:
            wide[f"column.{name}/offsets"] = ("I64", [n_proteins + 1], column.offsets)
            narrow[f"column.{name}/utf8"] = ("U8", [column.cells.n_bytes], column.cells)
        else:
            wide[f"column.{name}"] = (TYPES[column.kind], [n_proteins], column.cells)
    return wide, narrow


def _texts(provenance: ProvenanceFields) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in provenance.items()
    }
