"""Clean records of one modality, from the files or the Python values that a verb is given."""

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
    """How records are read.

    column, id_column: the columns of a table that hold sequences and ids. format: the format of a file whose
    name does not say it. on_error: at a faulty record "stop", or "skip" it and count it. modality: what the
    records are; where it is given, letters that look like another modality are not refused.

    Raises OptionError for an unknown word.
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
    """Raise OptionError for an unknown format. None passes: the file's name says the format."""
    if word is not None:
        check_choice("--format", word, tuple(WORDS))


def records_of_file(
    stream: BinaryIO, name: str, modality: Modality, options: RecordOptions, notices: Counter[str]
) -> Iterator[Record]:
    """Yield clean records of an opened file.

    Raises InputError: the file is faulty, or a record is and faults are not skipped.
    """
    records = modality.read(
        stream, name, column=options.column, id_column=options.id_column, word=options.format
    )
    with input_errors():
        yield from _clean(records, name, modality, options, notices)


def records_of_values(
    sequences: Sequences, modality: Modality, options: RecordOptions, notices: Counter[str]
) -> Iterator[Record]:
    """Yield clean records of Python values (``biofm.modalities.values``).

    Raises InputError: the values are no sequences, or a record is faulty and faults are not skipped.
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
