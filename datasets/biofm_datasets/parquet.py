"""Reads Parquet files: their rows in batches of bounded memory, and the records of a table."""

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
_FEW_ROWS = 8
"""The rows of a batch if nothing in the file says how much memory they take."""
_PROBE_BYTES = 1 << 20


def read_parquet(stream: BinaryIO, name: str, columns: ColumnNames) -> Iterator[Record]:
    """Yield one record for each row of a Parquet file, reading it by batches of rows.

    Ids, labels and empty cells are treated as in ``read_delimited``, with two differences: an index that
    pandas stored in a column of its own gives the ids if nothing else does, and ids and labels may have any
    type that converts to text.

    Args:
        stream: The opened file; it must be seekable.
        name: Its name, for messages.
        columns: The columns that make the records.

    Raises:
        DataError: pyarrow cannot read the file (truncated, damaged), no column is chosen, a column does not
            exist or does not hold text, a cell is longer than ``LONGEST_LINE``, or there is no row.
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
                    what = "the id holds a NUL character, which text files cannot hold"
                    raise DataError(what, where=f"{name}, row {number}", remedy="Correct the id")
                spelt = "" if label is None else str(label)
                yield make_record(text, sequence or "", spelt, number, name, names[at.sequence])
    if number == 0:
        raise no_rows(name)


def batches(
    file: "ParquetFile", stream: BinaryIO, name: str, n_rows: int, columns: Sequence[str]
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield the rows in order, at most ``n_rows`` at a time, and fewer if together they would fill the
    memory.

    A file of 1 kB may hold gigabytes: a long text stored once, and many rows that refer to it.

    Args:
        file: The Parquet file in ``stream``.
        stream: The opened file.
        name: Its name, for messages.
        n_rows: The most rows of a batch.
        columns: The columns to read.

    Raises:
        DataError: A cell is longer than ``LONGEST_LINE``, or Python cannot represent its time.
    """
    import pyarrow

    gathered: list[pyarrow.RecordBatch] = []
    n_before = n_bytes = n_gathered = 0
    for batch in _safe_batches(file, stream, n_rows, columns):
        batch.validate(full=True)  # raises for text that is not UTF-8 and for offsets beyond the end
        _check_cells(batch, name, n_before)
        n_before += batch.num_rows
        if gathered and (n_gathered + batch.num_rows > n_rows or n_bytes + batch.nbytes > MOST_CHARACTERS):
            yield _joined(gathered)
            gathered, n_bytes, n_gathered = [], 0, 0
        gathered.append(batch)
        n_bytes += batch.nbytes
        n_gathered += batch.num_rows
    if gathered:
        yield _joined(gathered)


def check_times(column: "pyarrow.Array | pyarrow.ChunkedArray", name: str) -> None:
    """Raise ValueError if a column holds dates that Python cannot represent, or has an unknown time zone."""
    if not _has_times(column.type):
        return
    try:
        column.to_pylist()
    except (ValueError, OverflowError, KeyError) as error:  # KeyError: an unknown time zone
        raise ValueError(f"column {name!r} holds times that Python cannot represent ({error})") from error


@contextmanager
def parquet_opened(stream: BinaryIO, name: str) -> Iterator["ParquetFile"]:
    """Open the Parquet file in ``stream`` for the ``with`` block.

    Raises:
        DataError: Within the block, pyarrow finds the file truncated or damaged.
    """
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
    """Return the columns, with the index that pandas stored as the ids if no other column gives them.

    Raises:
        DataError: The index has several columns.
    """
    index = index_columns(schema)
    if columns.id is not None or DEFAULT_ID_COLUMN in schema.names or not index:
        return columns
    if len(index) > 1:
        what = f"the index that pandas stored has several columns ({', '.join(index)})"
        raise DataError(what, where=name, remedy="Name one of them, or another column, with --id-column")
    return columns._replace(id=index[0])


def index_columns(schema: "pyarrow.Schema") -> list[str]:
    """Return the columns that hold the index of the DataFrame that pandas wrote; a range is in no column.

    https://pandas.pydata.org/docs/development/developer.html describes how pandas stores it.
    """
    try:
        index = parse_json((schema.metadata or {}).get(b"pandas", b"{}"))["index_columns"]
    except (ValueError, KeyError, TypeError):
        return []
    if not isinstance(index, list):
        return []
    return [column for column in index if isinstance(column, str) and column in schema.names]


def _joined(parts: list["pyarrow.RecordBatch"]) -> "pyarrow.RecordBatch":
    import pyarrow

    if len(parts) == 1:
        return parts[0]
    (batch,) = pyarrow.Table.from_batches(parts).unify_dictionaries().combine_chunks().to_batches()
    return batch


def _safe_batches(
    file: "ParquetFile", stream: BinaryIO, n_rows: int, columns: Sequence[str]
) -> Iterator["pyarrow.RecordBatch"]:
    """Yield as many rows at a time as fit in memory, judged by the statistics of each row group's columns."""
    from pyarrow.parquet import ParquetFile

    every = [file.schema.column(i) for i in range(len(file.schema))]
    begins = tuple(f"{column}." for column in columns)
    leaves = [leaf for leaf in every if f"{leaf.path}.".startswith(begins)]  # only of columns to be read
    read = {leaf.path for leaf in leaves}
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    n_fixed = sum(leaf.length for leaf in leaves if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY")
    is_nested = any(leaf.max_repetition_level for leaf in leaves)
    probe = ParquetFile(stream, metadata=file.metadata, read_dictionary=texts, buffer_size=_PROBE_BYTES)
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        if group.num_rows <= _FEW_ROWS:
            yield from file.iter_batches(min(n_rows, _FEW_ROWS), row_groups=[number], columns=list(columns))
            continue
        every_chunk = (group.column(i) for i in range(group.num_columns))
        chunks = [chunk for chunk in every_chunk if chunk.path_in_schema in read]
        coded = [chunk.path_in_schema for chunk in chunks if chunk.has_dictionary_page]
        longest = _longest_coded(probe, number, {path for path in coded if path in texts})
        n_at_once = max(1, min(n_rows, MOST_CHARACTERS // max(1, n_fixed + (longest or 0))))
        if is_nested or longest is None or any("DELTA_BYTE_ARRAY" in chunk.encodings for chunk in chunks):
            n_at_once = min(n_at_once, _FEW_ROWS)
        yield from file.iter_batches(n_at_once, row_groups=[number], columns=list(columns))


def _longest_coded(probe: "ParquetFile", group: int, paths: set[str]) -> int | None:
    """Return the size in bytes of a row that holds the longest text of every dictionary of a row group.

    pyarrow reads a dictionary with the first row of its column. Return None if the first rows do not use it.
    """
    import pyarrow

    if not paths:
        return 0
    try:
        first = next(
            probe.iter_batches(1, row_groups=[group], columns=sorted(paths), use_threads=False), None
        )
    except pyarrow.ArrowNotImplementedError:
        return None
    return sum(_longest(column) for column in first.columns) if first else 0


def _longest(column: "pyarrow.Array") -> int:
    """Return the bytes of the longest text of a column, in its dictionary or lists; 0 if it holds no text."""
    import pyarrow
    from pyarrow import compute, types

    kind = column.type
    if types.is_dictionary(kind):
        return _longest(column.dictionary)
    if types.is_struct(kind):
        return max(map(_longest, column.flatten()), default=0)
    if types.is_nested(kind):
        return _longest(column.values)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        column = column.cast(pyarrow.large_binary())
    elif not (
        types.is_binary(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_large_binary(kind)
    ):
        return 0
    return compute.max(compute.binary_length(column)).as_py() or 0


def _check_cells(batch: "pyarrow.RecordBatch", name: str, n_before: int) -> None:
    rows = f"{name}, rows {n_before + 1:,} to {n_before + batch.num_rows:,}"
    for column, field in zip(batch.columns, batch.schema, strict=True):
        if _longest(column) > LONGEST_LINE:
            raise too_long("cell", f"{rows}, column {field.name!r}")
        try:
            check_times(column, field.name)
        except ValueError as error:
            remedy = "Leave the column out, or write it as text"
            raise DataError(str(error), where=rows, remedy=remedy) from error


def _has_times(kind: "pyarrow.DataType") -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _has_times(kind.value_type)
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
