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

from biofm_datasets import Cell

from biofm.core.outputs.block import (
    BlockBuffer,
    EmbeddingBlock,
    ProvenanceFields,
    arrow_cells,
    arrow_types,
    kinds_of,
)
from biofm.core.outputs.unfailing import UnfailingFile

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.csv import CSVWriter

BATCH_BYTES = 4 << 20


class CsvWriter:
    """Writes lines through Arrow, which prints a float32 faster than Python or NumPy do."""

    def __init__(self, handle: BinaryIO, provenance_file: BinaryIO, *, per_residue: bool) -> None:
        self._output = UnfailingFile(handle)
        self._provenance_file = provenance_file
        self._per_residue = per_residue
        self._buffer = BlockBuffer(BATCH_BYTES)
        self._writer: CSVWriter | None = None
        self._kinds: dict[str, type[Cell]] = {}  # of the columns that travel

    def append(self, block: EmbeddingBlock) -> None:
        block.check_rows(self._per_residue)
        with self._output.faults_raised():
            for rows in self._buffer.add(block):
                self._write(rows)

    def close(self, provenance: ProvenanceFields) -> None:
        with self._output.faults_raised():
            for rows in self._buffer.flush():
                self._write(rows)
            writer = self._writer or self._open(d_embedding=0)
            writer.close()
        self._provenance_file.write(json.dumps({"biofm": dict(provenance)}, indent=2).encode() + b"\n")

    def _write(self, block: EmbeddingBlock) -> None:
        import pyarrow as pa  # heavy: this module is imported with every command

        d_embedding = block.values.shape[1]
        self._kinds = self._kinds or kinds_of(block.columns)
        self._writer = self._writer or self._open(d_embedding)
        ids, *numbers = block.residues() if self._per_residue else (block.ids, block.n_residues)
        has_empty = bool(block.are_empty.any())  # whose cells are empty, not nan
        values = [pa.array(dimension, from_pandas=has_empty) for dimension in block.values.T]
        travelling = arrow_cells(block, self._kinds, per_residue=self._per_residue)
        columns = [
            pa.array(ids, pa.string()),
            *(pa.array(one, pa.int64()) for one in numbers),
            *travelling,
            *values,
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema(d_embedding)))

    def _open(self, d_embedding: int) -> "CSVWriter":
        from pyarrow.csv import CSVWriter

        return CSVWriter(self._output, self._schema(d_embedding))

    def _schema(self, d_embedding: int) -> "pyarrow.Schema":
        import pyarrow as pa

        names = ("record", "residue") if self._per_residue else ("n_residues",)
        dimensions = [(f"e{dimension}", pa.float32()) for dimension in range(d_embedding)]
        numbers = [(name, pa.int64()) for name in names]
        return pa.schema([("id", pa.string()), *numbers, *arrow_types(self._kinds), *dimensions])
