"""Reads clean records of one modality from the files or Python values that a verb is given."""

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
MOST_NAMED = 3
"""The first of what is skipped is named with its fault, up to this number; the rest is only counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordOptions:
    """Says how records are read.

    Attributes:
        column: The column of sequences of a table.
        id_column: The column of ids of a table.
        on_error: What to do with a faulty record: "stop", or "skip" and count it.
        gaps: What becomes of the gaps of an alignment: "drop", "keep" (as tokens) or "refuse".
        format: The format of a file whose name does not say it: fasta, csv, tsv or parquet.
        modality: The modality that the user names; then letters that look like another one are accepted.

    Raises:
        OptionError: A word is unknown.
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
    """Raise OptionError for an unknown format.

    Args:
        word: The word of ``--format``; None is accepted, because then the file's name says the format.
    """
    if word is not None:
        check_choice("--format", word, tuple(WORDS))


def records_of_file(
    stream: BinaryIO, name: str, modality: Modality, options: RecordOptions, notices: Counter[str]
) -> Iterator[Record]:
    """Yield clean records of an opened file.

    Args:
        stream: The opened file.
        name: Its name, for its format and for messages.
        modality: The modality that the model reads.
        options: How records are read.
        notices: Counts what is changed or skipped.

    Raises:
        InputError: The file is faulty, or a record is and faults are not skipped.
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

    Args:
        sequences: The values.
        modality: The modality that the model reads.
        options: How records are read.
        notices: Counts what is changed or skipped.

    Raises:
        InputError: The values are not sequences, or a record is faulty and faults are not skipped.
    """
    with input_errors():
        records = records_of(sequences, column=options.column, id_column=options.id_column)
        yield from _clean(records, GIVEN, modality, options, notices)


def note_skipped(fault: DataError | InputError, notices: Counter[str], counted_as: str = SKIPPED) -> None:
    """Count a skipped record or row, and name it with its fault if it is one of the first.

    Args:
        fault: What is wrong, and where it stands.
        notices: Counts what is skipped.
        counted_as: The phrase under which it is counted.
    """
    notices[counted_as] += 1
    if notices[counted_as] <= MOST_NAMED:
        notices[f"Skipped: {fault.where}: {fault.what}."] += 1


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
        except DataError as fault:
            if options.on_error == "stop":
                raise
            note_skipped(fault, notices)
            continue
        n_good += 1
        yield clean
    if not n_good and notices[SKIPPED]:
        raise InputError(
            "every record is faulty, so nothing is left",
            where=name,
            remedy="Leave out --on-error skip to see the first fault",
        )
