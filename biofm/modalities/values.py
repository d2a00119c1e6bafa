"""Reads Python values as records: every kind of value is read as it is meant, or refused.

Tables and records of pandas, polars, Arrow and Biopython are recognised by the attributes of their classes,
so that none of these packages is imported. Attributes of the value itself would mislead: each column of a
pandas table is an attribute of it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from os import PathLike
from typing import Any

from biofm_datasets import Record
from biofm_datasets.tables import DEFAULT_ID_COLUMN, find_column, list_columns

from biofm.core.errors import InputError

GIVEN = "the given sequences"

Sequences = Any
"""Sequences as a caller may give them: texts, which are numbered from 1; (id, sequence) pairs; records of
biofm or Biopython; a mapping or Series from id to sequence; or a table (pandas, polars, Arrow) with the name
of its column.
"""


def records_of(sequences: Sequences, *, column: str | None, id_column: str | None) -> Iterator[Record]:
    """Return the records in order, unchanged.

    The ids of a table are those of ``id_column``, else of a column named "id", else its index, else the
    numbers of its rows. A missing value becomes an empty sequence, which is a fault of that record.

    Raises:
        InputError: The values are not sequences.
        DataError: A column does not exist.
    """
    names = _column_names(sequences)
    if names is not None:
        pairs = _pairs_of_table(sequences, names, column, id_column)
        return (_named(id_, value, number) for number, (id_, value) in enumerate(pairs, start=1))
    _refuse_single(sequences, "sequences")
    if column is not None or id_column is not None:
        what = f"a column was chosen, but {_kind(sequences)} has no columns"
        raise InputError(what, where=GIVEN, remedy="Leave the column out")
    has_ids = isinstance(sequences, Mapping) or _is_series(sequences)
    values = sequences.items() if has_ids else sequences
    return (_record(value, number) for number, value in enumerate(values, start=1))


def texts_of(values: Any, what: str) -> list[str]:
    """Return a list of texts from any values that hold texts in order.

    Args:
        values: The values.
        what: What messages call them, in the plural.

    Raises:
        InputError: The values are no list of texts.
    """
    where = f"the given {what}"
    if _column_names(values) is not None or isinstance(values, Mapping):
        remedy = "Give its values, or one of its columns"
        raise InputError(f"{_kind(values)} holds more than {what}", where=where, remedy=remedy)
    _refuse_single(values, what)
    return [sequence_of(value, f"{where}, number {i}") for i, value in enumerate(values, start=1)]


def sequence_of(value: Any, where: str) -> str:
    """Return the text of one sequence or record, unchanged; it is empty if the value is missing (None, NaN).

    Args:
        value: The sequence or record.
        where: Its place, for messages.

    Raises:
        InputError: The value is anything else.
    """
    value = _plain(value)
    if value is None:
        return ""
    if isinstance(value, Record):
        return value.sequence
    if _is_seq_record(value):
        return str(value.seq)
    if isinstance(value, str) or hasattr(type(value), "reverse_complement"):  # a Seq of Biopython
        return str(value)
    remedy = "Give text, (id, sequence) as a tuple, or a record"
    raise InputError(f"{_kind(value)} is not a sequence", where=where, remedy=remedy)


def _refuse_single(values: Any, what: str) -> None:
    """Raise InputError for a value that is one thing and not several in order."""
    match values:
        case str():
            fault, remedy = f"one string would be read as many {what} of one letter", "Put it into a list"
        case PathLike():
            fault = f"{_kind(values)} was given instead of {what}"
            remedy = "To read a file, call the function that takes a path, such as biofm.embed(path, output)"
        case set() | frozenset():
            fault, remedy = f"a set has no order, so results could not be matched to {what}", "Give a list"
        case bytes() | bytearray() | Record():
            fault, remedy = f"{_kind(values)} is not a list of {what}", "Put text or records into a list"
        case Iterable() if getattr(values, "ndim", 1) and not _is_seq_record(values):
            return
        case _:
            fault, remedy = f"{_kind(values)} is not a list of {what}", "Put text or records into a list"
    raise InputError(fault, where=f"the given {what}", remedy=remedy)


def _column_names(values: Any) -> list[Any] | None:
    """Return the names of a table's columns; None for any other value."""
    if isinstance(values, Record):  # The columns of a record are its own cells.
        return None
    if hasattr(type(values), "column_names"):  # In Arrow, "columns" are the cells.
        return list(values.column_names)
    return list(values.columns) if hasattr(type(values), "columns") else None


def _is_series(values: Any) -> bool:
    """Return whether the value is a Series of pandas, which has labels; polars and Arrow have none."""
    return hasattr(type(values), "items") and hasattr(type(values), "index")


def _is_seq_record(value: Any) -> bool:
    """Return whether the value is a record of Biopython."""
    return hasattr(type(value), "seq")


def _pairs_of_table(
    table: Any, names: list[Any], column: str | None, id_column: str | None
) -> Iterator[tuple[Any, Any]]:
    if column is None:
        remedy = f"Name the column of sequences with column=. {list_columns(names)}"
        raise InputError(f"{_kind(table)} is a table, and no column was chosen", where=GIVEN, remedy=remedy)
    find_column(names, column, GIVEN)
    if id_column is None and DEFAULT_ID_COLUMN in names:
        id_column = DEFAULT_ID_COLUMN
    if id_column is None:
        ids = getattr(table, "index", count(1))
    else:
        find_column(names, id_column, GIVEN)
        ids = table[id_column]
    return zip(ids, table[column], strict=False)


def _record(value: Any, number: int) -> Record:
    if isinstance(value, Record):
        return value
    if _is_seq_record(value):
        return _named(value.id, value, number)
    match value:
        case (id_, sequence) if isinstance(value, tuple):
            return _named(id_, sequence, number)
    return _named(number, value, number)


def _named(id_: Any, value: Any, number: int) -> Record:
    id_ = _plain(id_)
    record = Record(str(number if id_ is None else id_), "", number=number, source=GIVEN)
    return replace(record, sequence="".join(sequence_of(value, record.where).split()))


def _plain(value: Any) -> Any:
    """Return the value itself, out of Arrow's scalar; None for the libraries' missing values."""
    if hasattr(value, "as_py"):
        value = value.as_py()
    is_missing = type(value).__name__ == "NAType" or (isinstance(value, float) and value != value)
    return None if is_missing else value


def _kind(value: Any) -> str:
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
