"""The wild type that each row of a table of variants belongs to."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

from biofm_datasets import DataError, Record
from biofm_datasets.protein import MASK
from biofm_datasets.table_parts import TablePart

from biofm.core.errors import InputError
from biofm.modalities import Modality

WildTypes = Callable[[TablePart], Callable[[int], str]]
"""For a part of a table: row -> clean sequence, or DataError where that row's is at fault."""


def wild_types_of_records(records: Iterable[Record], name: str, protein_column: str | None) -> WildTypes:
    """One record is the wild type of every row; of several, ``protein_column`` names the row's.

    Raises InputError: an id that repeats, a masked residue, no column chosen among several records.
    """
    sequences: dict[str, str] = {}
    for record in records:
        if record.id in sequences:
            raise InputError("an earlier record has this id too", where=record.where, remedy="Rename one")
        sequences[record.id] = whole(record).sequence
    if protein_column is None:
        if len(sequences) > 1:
            what = f"{len(sequences):,} wild types, and no column says which row is of which"
            raise InputError(what, where=name, remedy="Name the column of their names with --protein-column")
        (only,) = sequences.values()
        return lambda part: lambda row: only

    def find(part: TablePart) -> Callable[[int], str]:
        ids = part.texts(protein_column)

        def of_row(row: int) -> str:
            if ids[row] not in sequences:
                raise DataError(f"there is no protein {ids[row]!r} in {name}", remedy="Check its spelling")
            return sequences[ids[row]]

        return of_row

    return find


def wild_types_of_column(
    column: str, modality: Modality, notices: Counter[str], *, insists: bool = False
) -> WildTypes:
    """Every row brings the sequence of its wild type in ``column``. Letters that speak for another modality
    are a fault, unless the caller ``insists``.
    """

    def find(part: TablePart) -> Callable[[int], str]:
        texts = part.texts(column)
        # The rows of one protein share one string.
        clean = cache(lambda text: clean_cell(text, modality, notices, insists=insists))
        return lambda row: clean(texts[row])

    return find


def clean_cell(text: str, modality: Modality, notices: Counter[str], *, insists: bool) -> str:
    """The sequence in a cell, in order. Raises DataError, which does not know the cell's place."""
    record = Record(id="", sequence="".join(text.split()))
    try:
        return whole(modality.accept(record, notices, gaps="refuse", insists=insists)).sequence
    except (DataError, InputError) as error:
        raise DataError(error.what, remedy=error.remedy) from error


def whole(record: Record) -> Record:
    """The record itself. Raises InputError for a masked residue: what stands there cannot be scored."""
    if MASK in record.sequence:
        what = f"the sequence holds {MASK}"
        raise InputError(what, where=record.where, remedy="Give the residue that stands there, or X")
    return record
