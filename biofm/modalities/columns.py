"""The columns that travel with records into outputs. All records of a run have the same names and types."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from biofm_datasets import Cell, DataError

KINDS = {str: "text", int: "a whole number", float: "a float"}
LARGEST = 1 << 63


class HasColumns(Protocol):
    """Has columns, as records and items do."""

    @property
    def columns(self) -> Mapping[str, Cell]: ...


def columns_of(records: Sequence[HasColumns]) -> dict[str, list[Cell]]:
    """Return the columns of some records of one run, by name, with one cell for each record.

    Args:
        records: The records or items.
    """
    names = records[0].columns if records else ()
    return {name: [record.columns[name] for record in records] for name in names}


class SameColumns:
    """Checks that all records of a run have the columns of the first one, with the same names and types."""

    def __init__(self) -> None:
        self._kinds: dict[str, type] | None = None

    def check(self, columns: Mapping[str, Cell], where: str) -> None:
        """Check the columns of the next record.

        Args:
            columns: The cells of the record by the names of their columns.
            where: The place of the record, for messages.

        Raises:
            DataError: Outputs cannot hold the columns, or they differ from those of the first record.
        """
        if not columns and not self._kinds:
            self._kinds = {}
            return
        kinds = {name: type(cell) for name, cell in columns.items()}
        if self._kinds is None:
            _check_names(columns, where)
        elif kinds.keys() != self._kinds.keys():
            here, there = (", ".join(sorted(map(str, names))) or "none" for names in (kinds, self._kinds))
            what = f"this record has the columns {here}, but the first record has {there}"
            raise DataError(what, where=where, remedy="Give every record the same columns")
        for name, cell in columns.items():
            _check_cell(name, cell, where)
            if self._kinds is not None and kinds[name] is not self._kinds[name]:
                what = f"column {name!r} holds {KINDS[kinds[name]]}, but in the first record"
                what += f" {KINDS[self._kinds[name]]}"
                raise DataError(what, where=where, remedy="Give each column one kind of value")
        self._kinds = self._kinds or kinds


def _check_names(columns: Mapping[str, Cell], where: str) -> None:
    """Raise DataError for a name that some format cannot hold: in HDF5 a "/", or dots alone, is a path."""
    for name in columns:
        if not (name.isprintable() and name.strip(". ")) or "/" in name:
            remedy = 'Use printable text without a "/"'
            raise DataError(f"outputs cannot have a column named {name!r}", where=where, remedy=remedy)


def _check_cell(name: str, cell: Cell, where: str) -> None:
    """Raise DataError for a cell that outputs cannot hold."""
    kind = type(cell)
    if kind not in KINDS:
        what, remedy = f"column {name!r} holds {kind.__name__}", "Make it text, a whole number or a float"
    elif isinstance(cell, str) and ("\0" in cell or not _is_text(cell)):
        what, remedy = f"column {name!r} holds text with a NUL, or that is not UTF-8", "Correct the text"
    elif isinstance(cell, int) and not -LARGEST <= cell < LARGEST:
        what, remedy = f"column {name!r} holds a number beyond 64 bits", "Make it a float, or text"
    else:
        return
    raise DataError(what, where=where, remedy=remedy)


def _is_text(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
