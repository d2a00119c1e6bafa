"""Output tables: CSV, TSV or Parquet, by their suffix, written part by part.

Text is written as it is, in quotes only where it must be; numbers are the shortest that read back as the same
float32. The provenance of a CSV or TSV is written beside it, into ``NAME.provenance.json``; that of a Parquet
file is JSON in its metadata, under the key ``biofm``. On standard output a table is CSV without provenance.
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
RENAMED = "input columns renamed input_..., because the output's own take their names"
ROW_GROUP_ROWS, ROW_GROUP_BYTES = 1 << 16, 256 << 20

Columns = Mapping[str, Any]
"""Name -> one value a row: a list of text, numbers or truth values, a NumPy array, or one of Arrow."""


class Table(Protocol):
    """A table that is written row by row, in order. A file whose table is never closed is not whole."""

    def append(self, columns: Columns) -> None:
        """Write some rows. The columns, their order and their types are those of the first call."""

    def close(self) -> None:
        """Write what is left. The handle stays open."""


def check_table_suffix(path: Path) -> str:
    """Return the suffix of ``path`` in lower case; for standard output ``.csv``. Raises OutputError where it
    is no format of tables.
    """
    suffix = ".csv" if path == STANDARD_OUTPUT else path.suffix.lower()
    if suffix not in SUFFIXES:
        what = f"{suffix} is no format for a table" if suffix else "the name has no suffix"
        raise OutputError(
            what, where=str(path), remedy="Let the name end in .csv, .tsv or .parquet, or give -"
        )
    return suffix


def open_table(
    handle: BinaryIO, suffix: str, provenance: Mapping[str, Any], provenance_file: BinaryIO | None = None
) -> Table:
    """Return a table that writes to ``handle``. The provenance of a .csv or .tsv goes into
    ``provenance_file``, if that is given.
    """
    if suffix == ".parquet":
        return _ParquetTable(handle, provenance)
    if provenance_file is not None:
        provenance_file.write(json.dumps({"biofm": provenance}, indent=2).encode() + b"\n")
    return _DelimitedTable(handle, DELIMITERS[suffix])


class _Lines(list[str]):
    """What a ``csv.writer`` writes to, a row at a time: lines that end in ``\\n``. The writer ends them in
    ``\\r\\n``, for only so does it put cells that hold a ``\\r`` into quotes.
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
        writer.writerows(zip(*map(_spell, columns.values()), strict=True))
        self._handle.write("".join(lines).encode())

    def close(self) -> None:
        pass  # every row is written by now


class _ParquetTable:
    """Writes a row group whenever enough rows have gathered."""

    def __init__(self, handle: BinaryIO, provenance: Mapping[str, Any]) -> None:
        self._output = UnfailingFile(handle)
        self._metadata = {"biofm": json.dumps(provenance)}
        self._parts: list[pyarrow.Table] = []
        self._writer: ParquetWriter | None = None

    def append(self, columns: Columns) -> None:
        import pyarrow as pa  # heavy: this module is imported with every command

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
    """The columns of the input, with another name where those ``added`` would hide them."""
    apart: dict[str, Any] = {}
    for name, column in columns.items():
        other = name
        while other in added or (other != name and other in columns):
            other = f"input_{other}"
        apart[other] = column
    return apart


def _spell(column: Any) -> Sequence[str]:
    """The cells of a column as text; one without a value is empty."""
    if isinstance(column, np.ndarray):
        return list(map(str, column))  # NumPy's str of a number is the shortest that reads back
    if isinstance(column, list):
        return [_spell_value(value) for value in column]
    is_single = str(column.type) == "float"  # Arrow's name of float32
    return [
        _spell_value(np.float32(value) if is_single and value is not None else value)
        for value in column.to_pylist()
    ]


def _spell_value(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
