"""Tables with a column of sequences: CSV, TSV and Parquet."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from biofm_datasets.documents import parse_json
from biofm_datasets.errors import DataError
from biofm_datasets.records import Record
from biofm_datasets.text import LONGEST_LINE, read_lines, too_long

if TYPE_CHECKING:
    import pyarrow

DEFAULT_ID_COLUMN = "id"

DELIMITERS = {"CSV": ",", "TSV": "\t"}
"""Format -> what stands between its cells."""

_BATCH_ROWS = 1024
MOST_COLUMNS = 100_000
MOST_CHARACTERS = 64_000_000
"""Of rows that are in memory together."""


class ColumnNames(NamedTuple):
    """The columns of a table that make its records."""

    sequence: str | None
    id: str | None = None
    label: str | None = None


def read_delimited(stream: BinaryIO, name: str, columns: ColumnNames, *, delimiter: str) -> Iterator[Record]:
    """Yield one record a row of a CSV or TSV file whose first line names the columns.

    Quotes follow RFC 4180. The id comes from the id column, else from a column named "id" if there is
    one; without either, or where that cell is empty, it is the row's number. Blank lines are no rows.
    An empty cell gives an empty sequence, which ``clean_protein`` reports. The label is the cell of the
    column of labels without white space around it.

    Raises DataError for a file that is not text, no column chosen, a column that does not exist, a row
    with more or fewer cells than the header (its line is named), a quote that never closes, no row.
    """
    rows = read_rows(stream, name, delimiter=delimiter)
    _, header = next(rows, (0, []))
    at = _choose_columns(header, name, columns)
    number = 0
    for number, (_, row) in enumerate(rows, start=1):
        id_, label = ("" if place is None else row[place] for place in (at.id, at.label))
        yield _record(id_, row[at.sequence], label, number, name)
    if number == 0:
        raise no_rows(name)


def read_rows(stream: BinaryIO, name: str, *, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the names of the columns, then the cells of every row, each with the number of its (last) line.

    Raises DataError as ``read_delimited`` does for the file as a whole.
    """
    csv.field_size_limit(LONGEST_LINE)  # of the module: 128 KiB
    rows = csv.reader(read_lines(stream, name), delimiter=delimiter, strict=True)
    n_columns = 0
    try:
        for row in filter(None, rows):
            if not n_columns:
                if len(row) > MOST_COLUMNS:
                    what = f"this table has {len(row):,} columns, more than {MOST_COLUMNS:,}"
                    raise DataError(what, where=name, remedy="Leave out those that are not needed")
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


def read_parquet(stream: BinaryIO, name: str, columns: ColumnNames) -> Iterator[Record]:
    """Yield one record a row of a Parquet file, by batches of rows.

    Ids, labels and empty cells are treated as in ``read_delimited``, but that an index that pandas stored in
    a column of its own gives the ids before the row's number does; ids and labels may be of any type that
    has a text form.

    Raises DataError for a file that pyarrow cannot read (truncated, damaged), no column chosen, a column
    that does not exist or does not hold text, no row.
    """
    from pyarrow.parquet import ParquetFile  # heavy, and only this format needs it

    number = 0
    with parquet_faults_named(name):
        file = ParquetFile(stream)
        names = file.schema_arrow.names
        at = _choose_columns(names, name, with_index(columns, file.schema_arrow, name))
        _require_text(file.schema_arrow.field(at.sequence), name)
        wanted = [names[place] for place in dict.fromkeys(at) if place is not None]
        for batch in file.iter_batches(_BATCH_ROWS, columns=wanted):
            cells = {column: batch.column(column).to_pylist() for column in wanted}
            nothing = [None] * batch.num_rows
            ids, labels = (nothing if place is None else cells[names[place]] for place in (at.id, at.label))
            for id_, label, sequence in zip(ids, labels, cells[names[at.sequence]], strict=True):
                number += 1
                text = "" if id_ is None else str(id_)
                if "\0" in text:
                    what = "this id holds a NUL character, which text files cannot"
                    raise DataError(what, where=f"{name}, row {number}", remedy="Correct the id")
                yield _record(text, sequence or "", "" if label is None else str(label), number, name)
    if number == 0:
        raise no_rows(name)


def with_index(columns: ColumnNames, schema: "pyarrow.Schema", name: str) -> ColumnNames:
    """The columns, the index that pandas stored among them as the ids, if there are no others.

    Raises DataError for an index of several columns.
    """
    index = index_columns(schema)
    if columns.id is not None or DEFAULT_ID_COLUMN in schema.names or not index:
        return columns
    if len(index) > 1:
        what = f"the index that pandas stored has several columns ({', '.join(index)})"
        raise DataError(what, where=name, remedy="Name one of them, or another column, with --id-column")
    return columns._replace(id=index[0])


def index_columns(schema: "pyarrow.Schema") -> list[str]:
    """The columns that hold the index of the DataFrame that pandas wrote; a range is in no column.

    https://pandas.pydata.org/docs/development/developer.html says how.
    """
    try:
        index = parse_json((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, KeyError, TypeError):
        return []
    if not isinstance(index, list):
        return []
    return [column for column in index if isinstance(column, str) and column in schema.names]


@contextmanager
def parquet_faults_named(name: str) -> Iterator[None]:
    """Turn what pyarrow raises for a truncated or damaged file into a DataError."""
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(
            f"this Parquet file cannot be read ({reason})",
            where=name,
            remedy="It may be truncated or damaged; copy or write it again",
        ) from error


def _record(id_: str, cell: str, label: str, number: int, name: str) -> Record:
    return Record(
        id=id_.strip() or str(number),
        sequence="".join(cell.split()),
        number=number,
        source=name,
        label=label.strip(),
    )


class _Places(NamedTuple):
    """Where the columns stand; None: there is none, and rows are called by their number."""

    sequence: int
    id: int | None
    label: int | None


def _choose_columns(names: Sequence[str], name: str, columns: ColumnNames) -> _Places:
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
    return _Places(sequence, *others)


def find_column(names: Sequence[object], wanted: object, name: str) -> int:
    """The place of the one column of this name. Raises DataError where there is none, or several."""
    n_found = list(names).count(wanted)
    if n_found == 0:
        raise DataError(f"there is no column {wanted!r}", where=name, remedy=list_columns(names))
    if n_found > 1:
        what = f"{n_found} columns are named {wanted!r}"
        raise DataError(what, where=name, remedy=list_columns(names))
    return names.index(wanted)


def list_columns(names: Sequence[object]) -> str:
    """The sentence that helps who named a wrong column."""
    return f"The columns are: {', '.join(map(str, names))}" if names else "It has no columns"


def _require_text(field: "pyarrow.Field[pyarrow.DataType]", name: str) -> None:
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        raise DataError(
            f"column {field.name!r} holds {field.type}, not text",
            where=name,
            remedy="Choose a column of strings",
        )


def _ragged(name: str, line_number: int, *, n_cells: int, n_columns: int) -> DataError:
    return DataError(
        f"this row has {n_cells} cells where the header has {n_columns}",
        where=f"{name}, line {line_number}",
        remedy="Correct the row; a cell that holds the delimiter must be in quotes",
    )


def no_rows(name: str) -> DataError:
    return DataError("no records in this table", where=name, remedy="It needs a header and at least one row")
