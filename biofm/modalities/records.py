"""What a caller gives to a verb, as clean records of one modality: files and Python values alike."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from biofm_datasets import DataError, Record
from biofm_datasets.formats import WORDS
from biofm_datasets.ids import watch_ids
from biofm_datasets.protein import GAPS, Gaps

from biofm.core.choices import ON_ERROR, check_choice
from biofm.core.errors import InputError, input_errors
from biofm.modalities.columns import SameColumns
from biofm.modalities.modality import Modality, check_asked
from biofm.modalities.values import GIVEN, Sequences, records_of

SKIPPED = "records skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """How records are read. The columns are those of a table; ``format`` says what
    the name does not. At a faulty record ``on_error`` says "stop", or
    "skip" to leave it out and count it. ``modality`` names what the records are: who names it insists, where
    the letters of a record speak for another. Raises OptionError for a word that is none.
    """

    column: str | None = None
    id_column: str | None = None
    on_error: str = "stop"
    gaps: Gaps = "drop"
    format: str | None = None
    modality: str | None = None

    def __post_init__(self) -> None:
        check_choice("--on-error", self.on_error, ON_ERROR)
        check_choice("--gaps", self.gaps, GAPS)
        check_format(self.format)


def check_format(word: str | None) -> None:
    """Raises OptionError for what is no word for a format; None leaves it to the file's name."""
    if word is not None:
        check_choice("--format", word, tuple(WORDS))


def records_of_file(
    stream: BinaryIO, name: str, modality: Modality, options: RecordOptions, notices: Counter[str]
) -> Iterator[Record]:
    """Clean records of an opened file.

    Raises InputError: the file is at fault, or one of its records and it is not to be skipped.
    """
    records = modality.read(
        stream, name, column=options.column, id_column=options.id_column, word=options.format
    )
    with input_errors():
        yield from _clean(records, name, modality, options, notices)


def records_of_values(
    sequences: Sequences, modality: Modality, options: RecordOptions, notices: Counter[str]
) -> Iterator[Record]:
    """Clean records of Python values, see ``biofm.modalities.values``.

    Raises InputError: a record is at fault and not to be skipped, or these are no sequences.
    """
    with input_errors():
        records = records_of(sequences, column=options.column, id_column=options.id_column)
        yield from _clean(records, GIVEN, modality, options, notices)


def _clean(
    records: Iterable[Record],
    name: str,
    modality: Modality,
    options: RecordOptions,
    notices: Counter[str],
) -> Iterator[Record]:
    n_good, same = 0, SameColumns()
    check_asked(options.modality, modality)
    insists = options.modality is not None
    for record in watch_ids(records, notices):
        try:
            same.check(record.columns, record.where)
            clean = modality.accept(record, notices, gaps=options.gaps, insists=insists)
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
