"""Parquet files: their rows in batches of bounded memory, and the records of a table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from biofm_datasets.documents import parse_json
from biofm_datasets.errors import DataError
from biofm_datasets.records import Record
from biofm_datasets.tables import (
    DEFAULT_ID_COLUMN,
    MOST_CHARACTERS,
    MOST_COLUMNS,
    ColumnNames,
    choose_columns,
    make_record,
    no_rows,
    too_many_columns,
)
from biofm_datasets.text import LONGEST_LINE, too_long

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.parquet import ParquetFile

_BATCH_ROWS = 1024
_PROBE_BYTES = 1 << 20


def read_parquet(stream: BinaryIO, name: str, columns: ColumnNames) -> Iterator[Record]:
    """Yield one record a row of a Parquet file, by batches of rows.

    Ids, labels and empty cells are treated as in ``read_delimited``, but that an index that pandas stored in
    a column of its own gives the ids before the row's number does; ids and labels may be of any type that
    has a text form.

    Raises DataError for a file that pyarrow cannot read (truncated, damaged), no column chosen, a column
    that does not exist or does not hold text, a cell beyond ``LONGEST_LINE``, no row.
    """
    number = 0
    with parquet_opened(stream, name) as file:
        names = file.schema_arrow.names
        at = choose_columns(names, name, with_index(columns, file.schema_arrow, name))
        _require_text(file.schema_arrow.field(at.sequence), name)
        wanted = [names[place] for place in dict.fromkeys(at) if place is not None]
        for batch in batches(file, stream, name, _BATCH_ROWS, wanted):
            cells = {column: batch.column(column).to_pylist() for column in wanted}
            nothing = [None] * batch.num_rows
            ids, labels = (nothing if place is None else cells[names[place]] for place in (at.id, at.label))
            for id_, label, sequence in zip(ids, labels, cells[names[at.sequence]], strict=True):
                number += 1
                text = "" if id_ is None else str(id_)
                if "\0" in text:
                    what = "this id holds a NUL character, which text files cannot"
                    raise DataError(what, where=f"{name}, row {number}", remedy="Correct the id")
                yield make_record(text, sequence or "", "" if label is None else str(label), number, name)
    if number == 0:
        raise no_rows(name)


def batches(
    file: "ParquetFile", stream: BinaryIO, name: str, n_rows: int, columns: Sequence[str]
) -> Iterator["pyarrow.RecordBatch"]:
    """The rows in order, at most ``n_rows`` at a time, fewer where a long text stored once stands in many
    rows: a file of 1 kB may hold gigabytes so. ``file`` is that of ``stream``.

    Raises DataError for a cell beyond ``LONGEST_LINE``, and for times that Python does not know.
    """
    n_before = 0
    for group in range(file.num_row_groups):
        longest = max(1, _longest_row(file, stream, group, columns))
        n_at_once = max(1, min(n_rows, MOST_CHARACTERS // longest))
        for batch in file.iter_batches(n_at_once, row_groups=[group], columns=list(columns)):
            batch.validate(full=True)  # text that is no UTF-8, places beyond the end
            _check_cells(batch, name, n_before)
            n_before += batch.num_rows
            yield batch


@contextmanager
def parquet_opened(stream: BinaryIO, name: str) -> Iterator["ParquetFile"]:
    """The file in ``stream``. What pyarrow raises for a truncated or damaged one is a DataError."""
    import pyarrow  # heavy, and only this format needs it
    from pyarrow.parquet import ParquetFile

    try:
        file = ParquetFile(stream)
        if len(file.schema_arrow.names) > MOST_COLUMNS:
            raise too_many_columns(len(file.schema_arrow.names), name)
        yield file
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DataError(
            f"this Parquet file cannot be read ({reason})",
            where=name,
            remedy="It may be truncated or damaged; copy or write it again",
        ) from error


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


def _longest_row(file: "ParquetFile", stream: BinaryIO, group: int, columns: Sequence[str]) -> int:
    """The bytes of a row that has the longest text of every dictionary of these columns.

    A column's dictionary is read with its first row. Text that is not in one takes as much room in the file,
    before compression, as in memory.
    """
    from pyarrow.parquet import ParquetFile

    leaves = [file.schema.column(i) for i in range(len(file.schema))]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    if not texts:
        return 0
    probe = ParquetFile(stream, metadata=file.metadata, read_dictionary=texts, buffer_size=_PROBE_BYTES)
    first = next(probe.iter_batches(1, row_groups=[group], columns=list(columns), use_threads=False), None)
    dictionaries = [found for column in first.columns for found in _dictionaries(column)] if first else []
    return sum(map(_longest, dictionaries))


def _dictionaries(column: "pyarrow.Array") -> Iterator["pyarrow.Array"]:
    """Those of a column, and of what it is made of."""
    from pyarrow import types

    if types.is_dictionary(column.type):
        yield column.dictionary
    elif types.is_struct(column.type):
        for part in column.flatten():
            yield from _dictionaries(part)
    elif types.is_nested(column.type):
        yield from _dictionaries(column.values)


def _longest(texts: "pyarrow.Array") -> int:
    """The bytes of the longest of them; 0 of what is no text."""
    from pyarrow import compute, types

    kind = texts.type
    if not (types.is_binary(kind) or types.is_string(kind) or types.is_large_string(kind)):
        return 0
    return compute.max(compute.binary_length(texts)).as_py() or 0


def _check_cells(batch: "pyarrow.RecordBatch", name: str, n_before: int) -> None:
    from pyarrow import types

    rows = f"{name}, rows {n_before + 1:,} to {n_before + batch.num_rows:,}"
    for column, field in zip(batch.columns, batch.schema, strict=True):
        texts = column.dictionary if types.is_dictionary(column.type) else column
        if _longest(texts) > LONGEST_LINE:
            raise too_long("cell", f"{rows}, column {field.name!r}")
        try:
            check_times(texts, field.name)
        except ValueError as error:
            raise DataError(str(error), where=rows, remedy="Leave it out, or write it as text") from error


def check_times(column: "pyarrow.Array | pyarrow.ChunkedArray", name: str) -> None:
    """Raise ValueError where a column holds dates beyond Python's, or is of a time zone that is not known."""
    if not _has_times(column.type):
        return
    try:
        column.to_pylist()
    except (ValueError, OverflowError, KeyError) as error:  # the last of a time zone
        raise ValueError(f"column {name!r} holds times that Python cannot represent ({error})") from error


def _has_times(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    return types.is_temporal(kind) or any(_has_times(kind.field(i).type) for i in range(kind.num_fields))


def _require_text(field: "pyarrow.Field[pyarrow.DataType]", name: str) -> None:
    from pyarrow import types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
        raise DataError(
            f"column {field.name!r} holds {field.type}, not text",
            where=name,
            remedy="Choose a column of strings",
        )
