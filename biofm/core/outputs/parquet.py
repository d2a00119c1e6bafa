"""The format ``.parquet`` has the columns ``id``, ``n_residues`` and ``embedding`` (float32, fixed size).

With one row per residue the columns are ``id``, ``record`` (the protein's number in the input, from 1, which
distinguishes proteins with the same id), ``residue`` (from 1) and ``embedding``. Columns that travel with the
records stand before ``embedding``. The provenance is JSON in the file's metadata, under the key ``biofm``. A
row without values is NaN, as in the other formats: pyarrow before version 26 cannot write, or cannot read, a
missing list of fixed size.
"""

import base64
import json
from typing import TYPE_CHECKING, BinaryIO

from biofm.core.outputs.arrow import ArrowWriter
from biofm.core.outputs.block import EmbeddingBlock, ProvenanceFields

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

ROW_GROUP_BYTES = 32 << 20


class ParquetWriter(ArrowWriter["pq.ParquetWriter"]):
    """Writes a row group whenever enough rows are collected."""

    def __init__(self, handle: BinaryIO, *, per_residue: bool) -> None:
        super().__init__(handle, ROW_GROUP_BYTES, per_residue=per_residue)

    def _value_fields(self, d_embedding: int) -> "list[tuple[str, pa.DataType]]":
        import pyarrow as pa  # It is heavy, and every command imports this module.

        return [("embedding", pa.list_(pa.float32(), d_embedding))]

    def _value_columns(self, block: EmbeddingBlock) -> "list[pa.Array]":
        import pyarrow as pa

        d_embedding = block.values.shape[1]
        return [pa.FixedSizeListArray.from_arrays(pa.array(block.values.reshape(-1)), d_embedding)]

    def _open(self, schema: "pa.Schema") -> "pq.ParquetWriter":
        import pyarrow.parquet as pq

        # A dictionary saves space for values that repeat on every residue; floats hardly repeat.
        repeating = ["id", "record", *self._kinds]
        return pq.ParquetWriter(self._output, schema, use_dictionary=repeating)

    def _write_table(self, writer: "pq.ParquetWriter", table: "pa.Table") -> None:
        writer.write_table(table, row_group_size=max(1, len(table)))

    def _end(self, writer: "pq.ParquetWriter", provenance: ProvenanceFields) -> None:
        writer.add_key_value_metadata(_metadata(writer.schema, provenance))
        writer.close()


def _metadata(schema: "pa.Schema", provenance: ProvenanceFields) -> dict[str, str]:
    """Return the provenance under the key ``biofm``, and again inside Arrow's schema.

    Arrow's readers see only the metadata of that schema. Its key is described at
    https://arrow.apache.org/rust/parquet/arrow/constant.ARROW_SCHEMA_META_KEY.html.
    """
    fields = {"biofm": json.dumps(dict(provenance))}
    schema_bytes = schema.with_metadata(fields).serialize().to_pybytes()
    return {**fields, "ARROW:schema": base64.b64encode(schema_bytes).decode()}
