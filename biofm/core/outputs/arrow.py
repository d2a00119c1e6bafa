"""The two formats that Arrow writes share this code: the columns before the values, and tables of rows.

The first columns are ``id`` and ``n_residues``; with one row per residue they are ``id``, ``record`` and
``residue``. The columns that travel with the records follow, and then the values, which each format lays out
itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Generic, TypeVar

from biofm_datasets import Cell

from biofm.core.outputs.block import BlockBuffer, EmbeddingBlock, ProvenanceFields, kinds_of
from biofm.core.outputs.unfailing import UnfailingFile

if TYPE_CHECKING:
    import pyarrow as pa

FormatWriter = TypeVar("FormatWriter")
"""The class by which Arrow writes a format."""


class ArrowWriter(ABC, Generic[FormatWriter]):
    """Collects rows until they hold ``limit_bytes`` of values, and writes them as one Arrow table.

    A subclass for each format says how the values become columns, and how its file is opened, written and
    ended.
    """

    def __init__(self, handle: BinaryIO, limit_bytes: int, *, per_residue: bool) -> None:
        self._output = UnfailingFile(handle)
        self._per_residue = per_residue
        self._buffer = BlockBuffer(limit_bytes)
        self._writer: FormatWriter | None = None
        self._kinds: dict[str, type[Cell]] = {}  # The types of the columns that travel.

    def append(self, block: EmbeddingBlock) -> None:
        """Keep a block, and write the collected blocks if they have reached the limit."""
        block.check_rows(self._per_residue)
        with self._output.faults_raised():
            for rows in self._buffer.add(block):
                self._write(rows)

    def close(self, provenance: ProvenanceFields) -> None:
        """Write the remaining rows and end the file. A file without rows has no dimensions."""
        with self._output.faults_raised():
            for rows in self._buffer.flush():
                self._write(rows)
            self._end(self._writer or self._open(self._schema(d_embedding=0)), provenance)

    @abstractmethod
    def _value_fields(self, d_embedding: int) -> "list[tuple[str, pa.DataType]]":
        """Return the names and types of the columns of values."""

    @abstractmethod
    def _value_columns(self, block: EmbeddingBlock) -> "list[pa.Array]":
        """Return the values as the columns that ``_value_fields`` names."""

    @abstractmethod
    def _open(self, schema: "pa.Schema") -> FormatWriter:
        """Return Arrow's writer for the output."""

    @abstractmethod
    def _write_table(self, writer: FormatWriter, table: "pa.Table") -> None:
        """Write a table."""

    @abstractmethod
    def _end(self, writer: FormatWriter, provenance: ProvenanceFields) -> None:
        """Write the provenance into the file, if the format has a place for it, and close Arrow's writer."""

    def _write(self, block: EmbeddingBlock) -> None:
        import pyarrow as pa  # It is heavy, and every command imports this module.

        self._kinds = self._kinds or kinds_of(block.columns)
        schema = self._schema(block.values.shape[1])
        self._writer = self._writer or self._open(schema)
        ids, *numbers = block.residues() if self._per_residue else (block.ids, block.n_residues)
        columns = [
            pa.array(ids, pa.string()),
            *(pa.array(one, pa.int64()) for one in numbers),
            *(
                pa.array(block.cells(name, per_residue=self._per_residue), type_)
                for name, type_ in _arrow_types(self._kinds)
            ),
            *self._value_columns(block),
        ]
        self._write_table(self._writer, pa.Table.from_arrays(columns, schema=schema))

    def _schema(self, d_embedding: int) -> "pa.Schema":
        import pyarrow as pa

        names = ("record", "residue") if self._per_residue else ("n_residues",)
        numbers = ((name, pa.int64()) for name in names)
        travelling, values = _arrow_types(self._kinds), self._value_fields(d_embedding)
        return pa.schema([("id", pa.string()), *numbers, *travelling, *values])


def _arrow_types(kinds: Mapping[str, type[Cell]]) -> "list[tuple[str, pa.DataType]]":
    """Return the Arrow type of each column, in order."""
    import pyarrow as pa

    types: dict[Any, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    return [(name, types[kind]) for name, kind in kinds.items()]
