"""Reads tables with a column of sequences: CSV and TSV, and what they share with Parquet."""

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple

from biofm_datasets.errors import DataError
from biofm_datasets.records import Record
from biofm_datasets.text import LONGEST_LINE, format_count, read_lines, too_long

DEFAULT_ID_COLUMN = "id"

DELIMITERS = {"CSV": ",", "TSV": "\t"}
"""The character between two cells in each format."""

MOST_COLUMNS = 100_000
MOST_CHARACTERS = 64_000_000
"""The most characters of the rows that are in memory together."""


class ColumnNames(NamedTuple):
    """Holds the names of the columns of a table that make its records; None for a column not chosen."""

    sequence: str | None
    id: str | None = None
    label: str | None = None


def read_delimited(stream: BinaryIO, name: str, columns: ColumnNames, *, delimiter: str) -> Iterator[Record]:
    """Yield one record for each row of a CSV or TSV file whose first line names the columns.

    Quotes follow RFC 4180. The id comes from the id column, else from a column named "id" if there is one;
    without either, or if that cell is empty, it is the row's number. Blank lines are skipped. An empty cell
    gives an empty sequence, which ``clean_protein`` reports. The label is the cell of the column of labels
    without white space around it.

    Args:
        stream: The opened file.
        name: Its name, for messages.
        columns: The columns that make the records.
        delimiter: The character between two cells.

    Raises:
        DataError: The file is not text, no column is chosen, a column does not exist, a row has more or fewer
            cells than the header (the message names its line), a quote never closes, or there is no row.
    """
    rows = read_rows(stream, name, delimiter=delimiter)
    _, header = next(rows, (0, []))
    at = choose_columns(header, name, columns)
    number = 0
    for number, (_, row) in enumerate(rows, start=1):
        id_, label = ("" if place is None else row[place] for place in (at.id, at.label))
        yield make_record(id_, row[at.sequence], label, number, name, columns.sequence or "")
    if number == 0:
        raise no_rows(name)


def read_rows(stream: BinaryIO, name: str, *, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the names of the columns, then the cells of every row, each with the number of its (last) line.

    Raises:
        DataError: The file as a whole is faulty, as in ``read_delimited``.
    """
    csv.field_size_limit(LONGEST_LINE)  # the default of the csv module is 128 KiB
    lines = read_lines(stream, name, keep_line_ends=True)  # a line end inside quotes belongs to its cell
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    n_columns = 0
    try:
        for row in filter(None, rows):
            if not n_columns:
                if len(row) > MOST_COLUMNS:
                    raise too_many_columns(len(row), name)
                n_columns, row = len(row), [cell.strip() for cell in row]
            elif len(row) != n_columns:
                raise _ragged(name, rows.line_num, n_cells=len(row), n_columns=n_columns)
            yield rows.line_num, row
    except csv.Error as error:
        if "field limit" in str(error):
            raise too_long("cell", f"{name}, line {rows.line_num}") from error
        raise DataError(
            f"the quotes of this table do not match ({error})",
            where=f"{name}, line {rows.line_num}",
            remedy="A quoted cell begins and ends with one quote, and a quote inside it is doubled",
        ) from error


def make_record(id_: str, cell: str, label: str, number: int, name: str, column: str) -> Record:
    """Return the record of a row, whose sequence stands in ``column``, without white space around cells."""
    return Record(
        id=id_.strip() or str(number),
        sequence="".join(cell.split()),
        number=number,
        source=name,
        label=label.strip(),
        column=column,
    )


class Places(NamedTuple):
    """Holds the places of the columns in a row; None if there is no such column."""

    sequence: int
    id: int | None
    label: int | None


def choose_columns(names: Sequence[str], name: str, columns: ColumnNames) -> Places:
    """Return the places of the columns that make the records.

    Raises:
        DataError: No column of sequences is chosen, or a column does not exist or occurs several times.
    """
    if columns.sequence is None:
        raise DataError(
            "this is a table, and no column was chosen",
            where=name,
            remedy=f"Name the column of sequences with --column (in Python, column=). {list_columns(names)}",
        )
    id_column = columns.id
    if id_column is None and DEFAULT_ID_COLUMN in names:
        id_column = DEFAULT_ID_COLUMN
    sequence, *others = (
        None if wanted is None else find_column(names, wanted, name)
        for wanted in (columns.sequence, id_column, columns.label)
    )
    assert sequence is not None
    return Places(sequence, *others)


def find_column(names: Sequence[object], wanted: object, name: str) -> int:
    """Return the place of the one column of this name.

    Raises:
        DataError: No column has this name, or several have it.
    """
    n_found = list(names).count(wanted)
    if n_found == 0:
        raise DataError(f"there is no column {wanted!r}", where=name, remedy=list_columns(names))
    if n_found > 1:
        what = f"{n_found} columns are named {wanted!r}"
        raise DataError(what, where=name, remedy=list_columns(names))
    return names.index(wanted)


def list_columns(names: Sequence[object]) -> str:
    """Return the sentence that tells the user which columns there are."""
    return f"The columns are: {', '.join(map(str, names))}" if names else "It has no columns"


def _ragged(name: str, line_number: int, *, n_cells: int, n_columns: int) -> DataError:
    return DataError(
        f"this row has {format_count(n_cells, 'cell')}, but the header has {n_columns:,}",
        where=f"{name}, line {line_number}",
        remedy="Correct the row; a cell that holds the delimiter must be in quotes",
    )


def no_rows(name: str) -> DataError:
    return DataError("no records in this table", where=name, remedy="It needs a header and at least one row")


def too_many_columns(n_columns: int, name: str) -> DataError:
    what = f"this table has {n_columns:,} columns, more than {MOST_COLUMNS:,}"
    return DataError(what, where=name, remedy="Leave out those that are not needed")
