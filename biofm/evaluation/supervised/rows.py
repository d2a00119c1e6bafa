"""Rows of tables: the sequence, the targets and the set of each row are read as they stand in the file."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from biofm_datasets import DataError, Record
from biofm_datasets.protein import GAPS, Gaps
from biofm_datasets.table_parts import TablePart, read_table
from biofm_datasets.tables import DEFAULT_ID_COLUMN, list_columns

from biofm.core.choices import check_choice
from biofm.core.errors import OptionError
from biofm.evaluation.supervised.tasks import AUTO, TRUTHS, check_task
from biofm.modalities import Modality
from biofm.modalities.modality import check_asked

ROWS_AT_ONCE = 4096

TRAIN, VALIDATION, TEST = "train", "validation", "test"
ROLES = {
    **dict.fromkeys(("train", "training"), TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}
NO_ROLE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """Holds the columns of a table of sequences and targets, and how cells are read.

    Attributes:
        targets: Columns to predict.
        column: Column of the sequences.
        id_column: Column of the ids; None takes the column "id" or the table's index if there is one,
            otherwise row numbers.
        split_column: Column that says train, validation or test; None for a table without a split.
        validation_column: Column that says true for training rows that validate instead, as in FLIP; None if
            there is none.
        task: Task to learn; "auto" derives it from the cells.
        unknown_letters: Letters for residues of which nothing is known.
        gaps: What to do with gaps of alignments: drop, keep or refuse them.
        modality: Name of the modality that the user insists on; None derives it from the model and the file.

    Raises:
        OptionError: Options contradict each other.
    """

    targets: tuple[str, ...]
    column: str | None = None
    id_column: str | None = None
    split_column: str | None = None
    validation_column: str | None = None
    task: str = AUTO
    unknown_letters: str = ""
    gaps: Gaps = "drop"
    modality: str | None = None

    def __post_init__(self) -> None:
        check_task(self.task, len(self.targets))
        check_choice("--gaps", self.gaps, GAPS)
        if not self.targets:
            raise OptionError("no column was named", where="--target", remedy="Name what is to be predicted")
        others = (self.column, self.split_column, self.validation_column)
        for number, name in enumerate(self.targets):
            if name in (*others, *self.targets[:number]):
                what = f"column {name!r} is also the sequence, the split or another target"
                raise OptionError(what, where="--target", remedy="Name each column once")
        if self.validation_column is not None and self.split_column is None:
            what = "it says which training rows validate, but no column says which rows train"
            raise OptionError(what, where="--validation-column", remedy="Name one with --split-column")


class Reading(NamedTuple):
    """Holds how a table is read.

    ``name`` stands in messages, and ``notices`` counts what is changed or left out. ``at_fault`` gets the
    error for a faulty row; the row is left out if it returns.
    """

    name: str
    modality: Modality
    options: LabelOptions
    notices: Counter[str]
    at_fault: Callable[[DataError], None]


@dataclass(frozen=True, slots=True)
class Row:
    """Holds a row with a clean sequence. ``cells`` holds the cells of the targets."""

    place: str
    id: str
    sequence: str
    as_given: str
    """The sequence in the table, with the gaps and the stop that were dropped."""
    cells: tuple[str, ...]
    role: str


def read_rows(stream: BinaryIO, reading: Reading) -> Iterator[Row]:
    """Read the rows with clean sequences; with a split, only those that are in one of its sets.

    Raises:
        DataError: The file as a whole is faulty.
    """
    number = 0
    check_asked(reading.options.modality, reading.modality)
    for part in read_table(stream, reading.name, n_rows=ROWS_AT_ONCE):
        columns = _Columns(part, reading.options)
        for row in range(len(part)):
            number += 1
            try:
                found = _read_row(part, columns, row, number, reading)
            except DataError as fault:
                reading.at_fault(fault)
                continue
            if found is not None:
                yield found


class _Columns:
    """Holds the columns of a part of a table that the options name; None for those that they do not name."""

    def __init__(self, part: TablePart, options: LabelOptions) -> None:
        if options.column is None:
            raise DataError(
                "no column was chosen for the sequences",
                where=part.source,
                remedy=f"Name it with --column (in Python, column=). {list_columns(part.names)}",
            )
        id_column = options.id_column
        if id_column is None and DEFAULT_ID_COLUMN in part.names:
            id_column = DEFAULT_ID_COLUMN
        id_column = id_column or part.index
        self.sequences = part.texts(options.column)
        self.targets = [part.texts(target) for target in options.targets]
        self.ids = part.texts(id_column) if id_column is not None else None
        self.split = part.texts(options.split_column) if options.split_column is not None else None
        validation = options.validation_column
        self.validation = part.texts(validation) if validation is not None else None


def _read_row(part: TablePart, columns: _Columns, row: int, number: int, reading: Reading) -> Row | None:
    """Read a row of a part of the table. ``number`` counts the rows of all parts from 1. Return None for a
    row that is in no set.
    """
    options, notices = reading.options, reading.notices
    role = _role(part, columns, row)
    if role is None:
        notices[
            f"rows that are neither train, validation nor test in {options.split_column!r}, left out"
        ] += 1
        return None
    id_ = (columns.ids[row] if columns.ids is not None else "") or str(number)
    sequence = "".join(columns.sequences[row].split())
    record = Record(id=id_, sequence=sequence, number=number, source=part.source, column=options.column or "")
    insists = options.modality is not None
    clean = reading.modality.accept(record, notices, gaps=options.gaps, insists=insists).sequence
    cells = tuple(target[row] for target in columns.targets)
    return Row(part.places[row], id_, clean, sequence, cells, role)


def _role(part: TablePart, columns: _Columns, row: int) -> str | None:
    """Return the set of a row, for example TRAIN; NO_ROLE without a split, None for a row in no set."""
    if columns.split is None:
        return NO_ROLE
    role = ROLES.get(columns.split[row].lower())
    if role == TRAIN and columns.validation is not None:
        cell = columns.validation[row].lower()
        if cell and cell not in TRUTHS:
            what = f"{columns.validation[row]!r} is neither true nor false"
            raise DataError(what, where=part.where(row), remedy="--validation-column holds true and false")
        return VALIDATION if TRUTHS.get(cell) else TRAIN
    return role
