"""Output tables: they are written part by part, as CSV, TSV or Parquet according to the suffix.

Text is written unchanged and quoted only if necessary. Numbers have as few digits as read back to the same
float32. The provenance of a CSV or TSV file is written beside it, into ``NAME.provenance.json``; a Parquet
file holds it as JSON in its metadata, under the key ``biofm``. On standard output a table is CSV without
provenance.
"""

import csv
import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from biofm.core.errors import OutputError
from biofm.core.outputs.unfailing import UnfailingFile

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".parquet")
STANDARD_OUTPUT = Path("-")
RENAMED = "input columns renamed to input_..., because the output has columns of the same names"
ROW_GROUP_ROWS, ROW_GROUP_BYTES = 1 << 16, 256 << 20

Columns = Mapping[str, Any]
"""Columns by name, with one value per row: a list of text, numbers or truth values, or an array of NumPy or
Arrow.
"""


class Table(Protocol):
    """Writes rows to a file, in order. The file is complete only after ``close``."""

    def append(self, columns: Columns) -> None:
        """Write some rows. Every call gives the same columns, in the same order and of the same types."""

    def close(self) -> None:
        """Write the remaining rows. The handle stays open."""


def check_table_suffix(path: Path) -> str:
    """Return the suffix of ``path`` in lower case, or ``.csv`` for standard output.

    Raises:
        OutputError: No table format has this suffix.
    """
    suffix = ".csv" if path == STANDARD_OUTPUT else path.suffix.lower()
    if suffix not in SUFFIXES:
        what = f"{suffix} is not a table format" if suffix else "the name has no suffix"
        remedy = "Give a name that ends in .csv, .tsv or .parquet, or - for standard output"
        raise OutputError(what, where=str(path), remedy=remedy)
    return suffix


def open_table(
    handle: BinaryIO, suffix: str, provenance: Mapping[str, Any], provenance_file: BinaryIO | None = None
) -> Table:
    """Return a table that writes to ``handle``.

    The provenance of a .csv or .tsv table is written to ``provenance_file``, if that is given.
    """
    if suffix == ".parquet":
        return _ParquetTable(handle, provenance)
    if provenance_file is not None:
        provenance_file.write(json.dumps({"biofm": provenance}, indent=2).encode() + b"\n")
    return _DelimitedTable(handle, DELIMITERS[suffix])


class _Lines(list[str]):
    """Collects the rows of a ``csv.writer`` as lines that end in ``\\n``.

    The writer itself ends them in ``\\r\\n``, because only then does it quote cells that hold a ``\\r``.
    """

    def write(self, line: str) -> None:
        self.append(line.removesuffix("\r\n") + "\n")


class _DelimitedTable:
    def __init__(self, handle: BinaryIO, delimiter: str) -> None:
        self._handle = handle
        self._delimiter = delimiter
        self._names: list[str] | None = None

    def append(self, columns: Columns) -> None:
        lines = _Lines()
        writer = csv.writer(lines, delimiter=self._delimiter, lineterminator="\r\n")
        if self._names is None:
            self._names = list(columns)
            writer.writerow(self._names)
        assert list(columns) == self._names, (list(columns), self._names)
        writer.writerows(zip(*map(_format_cells, columns.values()), strict=True))
        self._handle.write("".join(lines).encode())

    def close(self) -> None:
        pass  # Every row is written already.


class _ParquetTable:
    """Writes a row group of a Parquet file whenever enough rows are collected."""

    def __init__(self, handle: BinaryIO, provenance: Mapping[str, Any]) -> None:
        self._output = UnfailingFile(handle)
        self._metadata = {"biofm": json.dumps(provenance)}
        self._parts: list[pyarrow.Table] = []
        self._writer: ParquetWriter | None = None

    def append(self, columns: Columns) -> None:
        import pyarrow as pa  # It is heavy, and every command imports this module.

        self._parts.append(pa.table(dict(columns)))
        n_rows = sum(part.num_rows for part in self._parts)
        n_bytes = sum(part.nbytes for part in self._parts)
        if n_rows >= ROW_GROUP_ROWS or n_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        with self._output.faults_raised():
            assert self._writer is not None, "a table without a row has no columns either"
            self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        if not self._parts:
            return
        rows, self._parts = pa.concat_tables(self._parts), []
        with self._output.faults_raised():
            if self._writer is None:
                self._writer = ParquetWriter(self._output, rows.schema.with_metadata(self._metadata))
            self._writer.write_table(rows.replace_schema_metadata(self._metadata))


def kept_apart(columns: Columns, added: Container[str]) -> dict[str, Any]:
    """Return the input's columns, renamed to ``input_NAME`` if an ``added`` column has the same name."""
    apart: dict[str, Any] = {}
    for name, column in columns.items():
        other = name
        while other in added or (other != name and other in columns):
            other = f"input_{other}"
        apart[other] = column
    return apart


def _format_cells(column: Any) -> Sequence[str]:
    """Return the cells of a column as text; a missing value is an empty cell."""
    if isinstance(column, np.ndarray):
        return list(map(str, column))  # NumPy prints as few digits as read back to the same number.
    if isinstance(column, list):
        return [_format_cell(value) for value in column]
    is_single = str(column.type) == "float"  # This is Arrow's name of float32.
    return [
        _format_cell(np.float32(value) if is_single and value is not None else value)
        for value in column.to_pylist()
    ]


def _format_cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
