"""``.csv``: columns ``id``, ``n_residues``, then one a dimension (``e0``...); ids in quotes, line ends
``\\n``.

With one row a residue the columns are ``id``, ``record`` (the protein's number in the input, from 1, which
tells proteins of one id apart), ``residue`` (from 1), ``e0``... Columns that travel with the records stand
before ``e0``. The numbers are the shortest that read back as the same float32; a row without values has empty
cells.

The table begins with its header, as every reader expects; a comment line would break most of them. How the
embeddings were made therefore stands beside the table, as JSON in ``NAME.csv.provenance.json``.
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
    """Writes lines through Arrow, which prints a float32 faster than Python or NumPy do."""

    def __init__(self, handle: BinaryIO, provenance_file: BinaryIO, *, per_residue: bool) -> None:
        super().__init__(handle, BATCH_BYTES, per_residue=per_residue)
        self._provenance_file = provenance_file

    def close(self, provenance: ProvenanceFields) -> None:
        """Write what is left, and the provenance to its own file."""
        super().close(provenance)
        self._provenance_file.write(json.dumps({"biofm": dict(provenance)}, indent=2).encode() + b"\n")

    def _value_fields(self, d_embedding: int) -> "list[tuple[str, pa.DataType]]":
        import pyarrow as pa  # heavy: this module is imported with every command

        return [(f"e{dimension}", pa.float32()) for dimension in range(d_embedding)]

    def _value_columns(self, block: EmbeddingBlock) -> "list[pa.Array]":
        import pyarrow as pa

        has_empty = bool(block.are_empty.any())  # whose cells are empty, not nan
        return [pa.array(dimension, from_pandas=has_empty) for dimension in block.values.T]

    def _open(self, schema: "pa.Schema") -> "CSVWriter":
        from pyarrow.csv import CSVWriter

        return CSVWriter(self._output, schema)

    def _write_table(self, writer: "CSVWriter", table: "pa.Table") -> None:
        writer.write_table(table)

    def _end(self, writer: "CSVWriter", provenance: ProvenanceFields) -> None:
        writer.close()
