"""What a caller gives to embed, as clean records: files and Python values alike."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count
from typing import BinaryIO

from biofm_datasets import DataError, Record, clean_protein, read_sequences

from biofm.core.errors import InputError, OptionError, input_errors

Sequences = Iterable[Record | tuple[str, str] | str]
"""Records, (id, sequence) pairs, or bare sequences, which are numbered from 1."""

SKIPPED = "records skipped"

GIVEN = "the given sequences"

ON_ERROR = ("stop", "skip")


def records_of_file(
    stream: BinaryIO,
    name: str,
    notices: Counter[str],
    *,
    on_error: str,
    column: str | None,
    id_column: str | None,
) -> Iterator[Record]:
    """Clean records of an opened file.

    Raises InputError: the file is at fault, or one of its records and ``on_error`` is not "skip".
    """
    records = read_sequences(stream, name, column=column, id_column=id_column)
    with input_errors():
        yield from _clean(records, name, notices, on_error)


def records_of_values(sequences: Sequences, notices: Counter[str], *, on_error: str) -> Iterator[Record]:
    """Clean records of Python values.

    Raises InputError: a record is at fault and ``on_error`` is not "skip", or one string was given.
    """
    if isinstance(sequences, str):
        raise InputError(
            "one string would be read as many sequences of one residue", remedy="Put it into a list"
        )
    with input_errors():
        yield from _clean(map(_record, sequences, count(1)), GIVEN, notices, on_error)


def _clean(records: Iterable[Record], name: str, notices: Counter[str], on_error: str) -> Iterator[Record]:
    if on_error not in ON_ERROR:
        raise OptionError(
            f"no such way: {on_error}", where="--on-error", remedy=f"Give {' or '.join(ON_ERROR)}"
        )
    n_good = 0
    for record in records:
        try:
            clean = clean_protein(record, notices)
        except DataError:
            if on_error == "stop":
                raise
            notices[SKIPPED] += 1
            continue
        n_good += 1
        yield clean
    if not n_good and notices[SKIPPED]:
        raise InputError(
            "every record was at fault, nothing is left",
            where=name,
            remedy="Without --on-error skip the first fault is shown",
        )


def _record(value: Record | tuple[str, str] | str, number: int) -> Record:
    if isinstance(value, Record):
        return value
    id_, sequence = (str(number), value) if isinstance(value, str) else value
    return Record(id=id_, sequence=sequence, number=number, source=GIVEN)
