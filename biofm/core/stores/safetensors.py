"""``.safetensors``: tensors ``embeddings`` (rows, d), ``n_residues`` (proteins,), ``ids_utf8`` and
``ids_offsets``.

The format has no text: the id of protein ``i`` is ``bytes(ids_utf8[ids_offsets[i]:ids_offsets[i +
1]]).decode()``. With one row a residue, the rows of a protein follow each other, ``n_residues`` of them.
``__metadata__`` says how the embeddings were made. The layout is that of
https://github.com/huggingface/safetensors#format.
"""

import json
from pathlib import Path
from typing import BinaryIO

from biofm.core.stores.block import EmbeddingBlock, ProvenanceFields
from biofm.core.stores.spool import Spool, SpooledTable

ALIGNMENT_BYTES = 8


class SafetensorsStore:
    """Gathers the tensors in temporary files: the header, which comes first, holds their final shapes."""

    def __init__(self, handle: BinaryIO, scratch_folder: Path | None, *, per_residue: bool) -> None:
        self._handle = handle
        self._table = SpooledTable(scratch_folder, per_residue=per_residue)

    def append(self, block: EmbeddingBlock) -> None:
        self._table.append(block)

    def close(self, provenance: ProvenanceFields) -> None:
        table = self._table
        # From the widest numbers to the narrowest, so that each tensor lies at a multiple of its width.
        tensors: dict[str, tuple[str, list[int], Spool]] = {
            "ids_offsets": ("I64", [table.n_proteins + 1], table.ids_offsets),
            "n_residues": ("I64", [table.n_proteins], table.n_residues),
            "embeddings": ("F32", [table.n_rows, table.d_embedding], table.values),
            "ids_utf8": ("U8", [table.ids_utf8.n_bytes], table.ids_utf8),
        }
        header: dict[str, object] = {"__metadata__": _texts(provenance)}
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


def _texts(provenance: ProvenanceFields) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in provenance.items()
    }
