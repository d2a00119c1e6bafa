"""Reads tables with all their columns, some rows at a time, for callers that add columns and pass on the
others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Union

from biofm_datasets.errors import DataError
from biofm_datasets.formats import open_format
from biofm_datasets.parquet import batches, index_columns, parquet_opened
from biofm_datasets.tables import (
    DELIMITERS,
    MOST_CHARACTERS,
    find_column,
    no_rows,
    read_rows,
)

if TYPE_CHECKING:
    import pyarrow

Column = Union[list[str], "pyarrow.Array[pyarrow.DataType]"]
"""The cells of a column: text as it stands in a CSV or TSV; typed values in Parquet."""


@dataclass(frozen=True, slots=True)
class TablePart:
    """Holds consecutive rows of a table.

    Attributes:
        source: The file's name, for messages.
        names: The names of the columns in order; names may repeat.
        columns: The cells of each column.
        places: Where each row stands in the file, such as ``line 7``.
        index: The column that holds the index that pandas stored, if that index has one column; else None.
    """

    source: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    places: tuple[str, ...]
    index: str | None = None

    def __len__(self) -> int:
        return len(self.places)

    def where(self, row: int) -> str:
        """Return the place of a row for a message: ``variants.csv, line 7``."""
        return f"{self.source}, {self.places[row]}"

    def texts(self, name: str) -> list[str]:
        """Return a column as text without white space around it; a cell without a value is empty.

        Raises:
            DataError: No column has this name, or several have it.
        """
        column = self.columns[find_column(self.names, name, self.source)]
        cells = column if isinstance(column, list) else column.to_pylist()
        return ["" if cell is None else str(cell).strip() for cell in cells]

    def take(self, rows: Sequence[int]) -> "TablePart":
        """Return a part with only these rows, in the given order."""
        if len(rows) == len(self):
            return self
        columns = tuple(take(column, rows) for column in self.columns)
        return replace(self, columns=columns, places=tuple(self.places[row] for row in rows))


def take(column: Column, rows: Sequence[int]) -> Column:
    """Return these cells of a column."""
    return [column[row] for row in rows] if isinstance(column, list) else column.take(rows)


def read_table(stream: BinaryIO, name: str, *, n_rows: int, word: str | None = None) -> Iterator[TablePart]:
    """Yield the rows of a CSV, TSV or Parquet file in order, in flat memory.

    Args:
        stream: The opened file.
        name: Its name, for its format and for messages.
        n_rows: The most rows of a part.
        word: The format, for a file whose name does not say it.

    Raises:
        DataError: The file as a whole is faulty, or the table has no row.
    """
    with open_format(stream, name, word) as (source, kind):
        if kind == "FASTA":
            remedy = "Give a CSV, TSV or Parquet file"
            raise DataError("this is FASTA, not a table", where=name, remedy=remedy)
        if kind == "Parquet":
            yield from _parquet_parts(source, name, n_rows)
        else:
            yield from _delimited_parts(source, name, n_rows, DELIMITERS[kind])


def _delimited_parts(stream: BinaryIO, name: str, n_rows: int, delimiter: str) -> Iterator[TablePart]:
    rows = read_rows(stream, name, delimiter=delimiter)
    _, header = next(rows, (0, []))
    has_rows = False
    while part := _part(rows, n_rows):
        has_rows = True
        columns = tuple(list(cells) for cells in zip(*(cells for _, cells in part), strict=True))
        yield TablePart(name, tuple(header), columns, tuple(f"line {line}" for line, _ in part))
    if not has_rows:
        raise no_rows(name)


def _part(rows: Iterator[tuple[int, list[str]]], n_rows: int) -> list[tuple[int, list[str]]]:
    """Return the next rows, fewer if they are so long that together they would fill the memory."""
    part, n_characters = [], 0
    for line, cells in rows:
        part.append((line, cells))
        n_characters += 8 * len(cells) + sum(map(len, cells))
        if len(part) == n_rows or n_characters > MOST_CHARACTERS:
            break
    return part


def _parquet_parts(stream: BinaryIO, name: str, n_rows: int) -> Iterator[TablePart]:
    n_before = 0
    with parquet_opened(stream, name) as file:
        names = tuple(file.schema_arrow.names)
        index = index_columns(file.schema_arrow)
        only = index[0] if len(index) == 1 else None
        for batch in batches(file, stream, name, n_rows, names):
            numbers = range(n_before + 1, n_before + 1 + batch.num_rows)
            places = tuple(f"row {number}" for number in numbers)
            yield TablePart(name, names, tuple(batch.columns), places, only)
            n_before += batch.num_rows
    if not n_before:
        raise no_rows(name)
