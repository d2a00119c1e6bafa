"""What a caller gives to embed, as clean records: files and Python values alike."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO

from biofm_datasets import DataError, Record, clean_protein, read_sequences
from biofm_datasets.formats import WORDS
from biofm_datasets.ids import watch_ids
from biofm_datasets.protein import GAPS, Gaps

from biofm.core.choices import ON_ERROR, check_choice
from biofm.core.errors import InputError, input_errors

Sequences = Iterable[Record | tuple[str, str] | str]
"""Records, (id, sequence) pairs, or bare sequences, which are numbered from 1."""

SKIPPED = "records skipped"

GIVEN = "the given sequences"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """How records are read. The columns are those of a table; ``format`` says what
    the name does not. At a faulty record ``on_error`` says "stop", or
    "skip" to leave it out and count it. Raises OptionError for a word that is none.
    """

    column: str | None = None
    id_column: str | None = None
    on_error: str = "stop"
    gaps: Gaps = "drop"
    format: str | None = None

    def __post_init__(self) -> None:
        check_choice("--on-error", self.on_error, ON_ERROR)
        check_choice("--gaps", self.gaps, GAPS)
        check_format(self.format)


def check_format(word: str | None) -> None:
    """Raises OptionError for what is no word for a format; None leaves it to the file's name."""
    if word is not None:
        check_choice("--format", word, tuple(WORDS))


def records_of_file(
    stream: BinaryIO, name: str, options: RecordOptions, notices: Counter[str]
) -> Iterator[Record]:
    """Clean records of an opened file.

    Raises InputError: the file is at fault, or one of its records and it is not to be skipped.
    """
    records = read_sequences(
        stream, name, column=options.column, id_column=options.id_column, word=options.format
    )
    with input_errors():
        yield from _clean(records, name, options, notices)


def records_of_values(
    sequences: Sequences, options: RecordOptions, notices: Counter[str]
) -> Iterator[Record]:
    """Clean records of Python values.

    Raises InputError: a record is at fault and not to be skipped, or one string was given.
    """
    if isinstance(sequences, str):
        raise InputError(
            "one string would be read as many sequences of one residue", remedy="Put it into a list"
        )
    with input_errors():
        yield from _clean(map(_record, sequences, count(1)), GIVEN, options, notices)


def _clean(
    records: Iterable[Record], name: str, options: RecordOptions, notices: Counter[str]
) -> Iterator[Record]:
    n_good = 0
    for record in watch_ids(records, notices):
        try:
            clean = clean_protein(record, notices, gaps=options.gaps)
        except DataError:
            if options.on_error == "stop":
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
