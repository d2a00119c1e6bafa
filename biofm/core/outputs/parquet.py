"""``.parquet``: columns ``id``, ``n_residues`` and ``embedding``, a list of float32 of fixed size.

With one row a residue the columns are ``id``, ``record`` (the protein's number in the input, from 1, which
tells proteins of one id apart), ``residue`` (from 1) and ``embedding``. Columns that travel with the records
stand before ``embedding``. How they were made is JSON in the file's metadata, under the key ``biofm``. A row
without values is NaN, as in the other formats: pyarrow before
26 cannot write, or cannot read, a missing list of fixed size.
"""

import base64
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
    import pyarrow.parquet as pq

ROW_GROUP_BYTES = 32 << 20


class ParquetWriter:
    """Writes a row group whenever enough rows have gathered."""

    def __init__(self, handle: BinaryIO, *, per_residue: bool) -> None:
        self._output = UnfailingFile(handle)
        self._per_residue = per_residue
        self._buffer = BlockBuffer(ROW_GROUP_BYTES)
        self._writer: pq.ParquetWriter | None = None
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
            writer.add_key_value_metadata(self._metadata(writer.schema, provenance))
            writer.close()

    def _write(self, block: EmbeddingBlock) -> None:
        import pyarrow as pa  # heavy: this module is imported with every command

        d_embedding = block.values.shape[1]
        self._kinds = self._kinds or kinds_of(block.columns)
        self._writer = self._writer or self._open(d_embedding)
        ids, *numbers = block.residues() if self._per_residue else (block.ids, block.n_residues)
        values = pa.FixedSizeListArray.from_arrays(pa.array(block.values.reshape(-1)), d_embedding)
        travelling = arrow_cells(block, self._kinds, per_residue=self._per_residue)
        columns = [
            pa.array(ids, pa.string()),
            *(pa.array(one, pa.int64()) for one in numbers),
            *travelling,
            values,
        ]
        table = pa.Table.from_arrays(columns, schema=self._schema(d_embedding))
        self._writer.write_table(table, row_group_size=max(1, len(table)))

    def _metadata(self, schema: "pyarrow.Schema", provenance: ProvenanceFields) -> dict[str, str]:
        """The key ``biofm``, and once more inside Arrow's schema: Arrow shows its readers only what is there.

        Its key: https://arrow.apache.org/rust/parquet/arrow/constant.ARROW_SCHEMA_META_KEY.html.
        """
        fields = {"biofm": json.dumps(dict(provenance))}
        schema_bytes = schema.with_metadata(fields).serialize().to_pybytes()
        return {**fields, "ARROW:schema": base64.b64encode(schema_bytes).decode()}

    def _open(self, d_embedding: int) -> "pq.ParquetWriter":
        import pyarrow.parquet as pq

        # A dictionary pays for what repeats on every residue; floats hardly repeat.
        repeating = ["id", "record", *self._kinds]
        return pq.ParquetWriter(self._output, self._schema(d_embedding), use_dictionary=repeating)

    def _schema(self, d_embedding: int) -> "pyarrow.Schema":
        import pyarrow as pa

        names = ("record", "residue") if self._per_residue else ("n_residues",)
        numbers = ((name, pa.int64()) for name in names)
        values = pa.list_(pa.float32(), d_embedding)
        return pa.schema([("id", pa.string()), *numbers, *arrow_types(self._kinds), ("embedding", values)])
