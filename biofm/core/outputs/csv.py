"""The format ``.csv`` has the columns ``id``, ``n_residues``, and one per dimension (``e0``...).

With one row per residue the columns are ``id``, ``record`` (the protein's number in the input, from 1, which
distinguishes proteins with the same id), ``residue`` (from 1), ``e0``... Columns that travel with the records
stand before ``e0``. Ids are quoted, and lines end in ``\\n``. Numbers have as few digits as read back to the
same float32; a row without values has empty cells.

The table begins with its header, because a comment line would break most readers. Its provenance is therefore
in a file beside it, as JSON in ``NAME.csv.provenance.json``.
"""

import json
from typing import TYPE_CHECKING, BinaryIO

from biofm.core.outputs.arrow import ArrowWriter
from biofm.core.outputs.block import EmbeddingBlock, ProvenanceFields

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.csv import CSVWriter

BATCH_BYTES = 4 << 20


class CsvWriter(ArrowWriter["CSVWriter"]):
    """Writes lines through Arrow, which prints float32 numbers faster than Python and NumPy."""

    def __init__(self, handle: BinaryIO, provenance_file: BinaryIO, *, per_residue: bool) -> None:
        super().__init__(handle, BATCH_BYTES, per_residue=per_residue)
        self._provenance_file = provenance_file

    def close(self, provenance: ProvenanceFields) -> None:
        """Write the remaining rows, and the provenance to its own file."""
        super().close(provenance)
        self._provenance_file.write(json.dumps({"biofm": dict(provenance)}, indent=2).encode() + b"\n")

    def _value_fields(self, d_embedding: int) -> "list[tuple[str, pa.DataType]]":
        import pyarrow as pa  # It is heavy, and every command imports this module.

        return [(f"e{dimension}", pa.float32()) for dimension in range(d_embedding)]

    def _value_columns(self, block: EmbeddingBlock) -> "list[pa.Array]":
        import pyarrow as pa

        has_empty = bool(block.are_empty.any())  # Their cells must be empty, not nan.
        return [pa.array(dimension, from_pandas=has_empty) for dimension in block.values.T]

    def _open(self, schema: "pa.Schema") -> "CSVWriter":
        from pyarrow.csv import CSVWriter

        return CSVWriter(self._output, schema)

    def _write_table(self, writer: "CSVWriter", table: "pa.Table") -> None:
        writer.write_table(table)

    def _end(self, writer: "CSVWriter", provenance: ProvenanceFields) -> None:
        writer.close()
