"""Labelled tables: a file of sequences and targets becomes rows that a model can learn from."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from biofm_datasets import DataError
from biofm_datasets.columns import how_to_mend, parse_number, read_number, stop_at
from biofm_datasets.ids import REPEATED_IDS
from biofm_datasets.protein import GAP_CHARACTERS
from numpy.typing import NDArray

from biofm.core.choices import Task
from biofm.core.errors import InputError
from biofm.evaluation.assay import FAULTY
from biofm.evaluation.supervised.labels import UNKNOWN, Labels, offsets_of
from biofm.evaluation.supervised.rows import NO_ROLE, LabelOptions, Reading, Row, read_rows
from biofm.evaluation.supervised.tasks import (
    AUTO,
    NO_CLASS,
    TRUTHS,
    FoundTask,
    find_task,
    odd_among_numbers,
)
from biofm.modalities import Modality, note_skipped

LARGEST_TARGET = 1e30
"""The largest number that can be learned. Models compute in float32, whose largest number is 3.4e38."""
CORRECT = "Correct the cell, or leave it empty"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTable:
    """Holds sequences and what is known of them: one row for each sequence, with at least one known target.

    Attributes:
        name: Name of the table, for messages.
        modality: Kind of the sequences.
        places: Place of each row in the file, for messages.
        ids: Id of each row.
        sequences: Sequence of each row.
        labels: Targets of all rows.
        roles: TRAIN, VALIDATION or TEST for each row; NO_ROLE in a table without a split.
        why: How the task was found, as a phrase after "because".
    """

    name: str
    modality: Modality
    places: list[str]
    ids: list[str]
    sequences: list[str]
    labels: Labels
    roles: NDArray[np.str_]
    why: str

    def __len__(self) -> int:
        return len(self.sequences)

    @property
    def has_split(self) -> bool:
        """Whether the table has a split."""
        return bool((self.roles != NO_ROLE).any())

    def units(self, row: int) -> Sequence[str]:
        """Return the units of a row's sequence, for example its residues.

        Args:
            row: Number of the row, from 0.
        """
        return self.modality.units(self.sequences[row])

    def where(self, row: int) -> str:
        """Return the place of a row, for messages.

        Args:
            row: Number of the row, from 0.
        """
        return f"{self.name}, {self.places[row]}"


def read_labelled(
    stream: BinaryIO,
    name: str,
    modality: Modality,
    options: LabelOptions,
    notices: Counter[str],
    *,
    skip_faulty: bool = False,
) -> LabelledTable:
    """Read the rows that have a known target.

    Args:
        stream: The opened table.
        name: Its name, for messages.
        modality: Kind of the sequences.
        options: Columns, and how cells are read.
        notices: Counts rows that are left out.
        skip_faulty: Whether to leave out faulty rows instead of raising an error.

    Raises:
        DataError: The file or a row of it is faulty.
        InputError: No row has a target, or the targets fit no task.
    """

    def count(fault: DataError) -> None:
        note_skipped(fault, notices, FAULTY)

    reading = Reading(name, modality, options, notices, count if skip_faulty else stop_at)
    rows = list(read_rows(stream, reading))
    if not any(cell for row in rows for cell in row.cells):
        what = f"no row has a value in {', '.join(map(repr, options.targets))}"
        raise InputError(what, where=name, remedy="Name another column with --target")
    if options.task == AUTO:
        rows = list(_numbers_alone(rows, reading))
    found = _task_of(rows, reading)
    known, values = _parse_rows(rows, found.task, reading)
    if not known:
        raise InputError("no row with a target is left", where=name, remedy="Name another target")
    if n_repeated := len(known) - len({row.id for row in known}):
        notices[REPEATED_IDS] += n_repeated
    return LabelledTable(
        name=name,
        modality=modality,
        places=[row.place for row in known],
        ids=[row.id for row in known],
        sequences=[row.sequence for row in known],
        labels=_LABELS[found.task](found.task, options, values),
        roles=np.array([row.role for row in known], np.str_),
        why=found.reason,
    )


def _numbers_alone(rows: Sequence[Row], reading: Reading) -> Iterator[Row]:
    """Yield the rows whose cells fit their column. Report each row with a cell that is no number in a column
    of numbers.
    """
    lengths = _lengths(rows, reading.modality)
    odd = [odd_among_numbers(cells, lengths) for cells in zip(*(row.cells for row in rows), strict=True)]
    for row in rows:
        column = next((i for i, cell in enumerate(row.cells) if cell in odd[i]), None)
        if column is None:
            yield row
            continue
        cell, target = row.cells[column], reading.options.targets[column]
        what = f"{cell!r} is no number, but most cells of its column are numbers"
        remedy = f"{how_to_mend(cell)}; or say --task"
        where = f"{reading.name}, {row.place}, column {target!r}"
        reading.at_fault(DataError(what, where=where, remedy=remedy))


def _lengths(rows: Sequence[Row], modality: Modality) -> list[set[int]]:
    """Return the number of units of each sequence, as given and as cleaned; one or two different numbers."""
    return [{len(modality.units(text)) for text in (row.as_given, row.sequence)} for row in rows]


def _task_of(rows: Sequence[Row], reading: Reading) -> FoundTask:
    """Return the task that was asked for, or the one that the cells imply."""
    options, modality = reading.options, reading.modality
    for task in ("regression", "classification", "multi-label", "per-residue"):
        if options.task == task:
            return FoundTask(task, "it was asked for")
    assert options.task == AUTO
    cells = [[row.cells[i] for row in rows] for i in range(len(options.targets))]
    return find_task(reading.name, options.targets, cells, _lengths(rows, modality), modality.words.unit)


def _parse_rows(rows: Sequence[Row], task: Task, reading: Reading) -> tuple[list[Row], list[Any]]:
    """Return the rows with a known target, and the parsed value of each."""
    options, known, values = reading.options, [], []
    for row in rows:
        try:
            value = _PARSERS[task](row, f"{reading.name}, {row.place}", reading.modality, options)
        except DataError as fault:
            reading.at_fault(fault)
            continue
        if value is None:
            reading.notices[f"rows without a value in {', '.join(map(repr, options.targets))}, left out"] += 1
            continue
        known.append(row)
        values.append(value)
    return known, values


def _numbers(row: Row, where: str, modality: Modality, options: LabelOptions) -> list[float] | None:
    pairs = zip(options.targets, row.cells, strict=True)
    numbers = [read_number(cell, f"{where}, column {target!r}", LARGEST_TARGET) for target, cell in pairs]
    return None if np.isnan(numbers).all() else numbers


def _truths(row: Row, where: str, modality: Modality, options: LabelOptions) -> list[float] | None:
    truths = []
    for target, cell in zip(options.targets, row.cells, strict=True):
        truth = TRUTHS.get(cell.lower(), parse_number(cell))
        if cell.lower() in NO_CLASS:
            truth = np.nan
        elif truth not in (0.0, 1.0):
            what = f"{cell!r} is neither 0 nor 1"
            raise DataError(what, where=f"{where}, column {target!r}", remedy=CORRECT)
        truths.append(truth)
    return None if np.isnan(truths).all() else truths


def _class(row: Row, where: str, modality: Modality, options: LabelOptions) -> str | None:
    (cell,) = row.cells
    return None if cell.lower() in NO_CLASS else cell


def _letters(row: Row, where: str, modality: Modality, options: LabelOptions) -> str | None:
    """Return a letter for each residue. Letters for dropped gaps and for a dropped stop are dropped too."""
    (cell,) = row.cells
    n_units, as_given = len(modality.units(row.sequence)), modality.units(row.as_given)
    if len(cell) == len(as_given):
        pairs = zip(as_given, cell, strict=True)
        solid = (label for residue, label in pairs if options.gaps == "keep" or residue not in GAP_CHARACTERS)
        cell = "".join(solid)[:n_units]
    if not cell:
        return None
    if len(cell) != n_units:
        words = modality.words
        what = f"{len(cell):,} labels for {n_units:,} {words.units}"
        rest = "blanks at the ends do not count, so write them as letters"
        remedy = f"Give a letter for every {words.unit}; {rest}"
        raise DataError(what, where=f"{where}, column {options.targets[0]!r}", remedy=remedy)
    return None if set(cell) <= set(options.unknown_letters) else cell


_PARSERS: dict[Task, Callable[[Row, str, Modality, LabelOptions], Any]] = {
    "regression": _numbers,
    "multi-label": _truths,
    "classification": _class,
    "per-residue": _letters,
}


def _labels_of_numbers(task: Task, options: LabelOptions, values: list[list[float]]) -> Labels:
    return Labels(task=task, targets=options.targets, classes=(), values=np.array(values, np.float64))


def _labels_of_classes(task: Task, options: LabelOptions, values: list[str]) -> Labels:
    classes = tuple(sorted(set(values), key=_order))
    number = {name: i for i, name in enumerate(classes)}
    codes = np.array([number[value] for value in values], np.int64)
    return Labels(task=task, targets=options.targets, classes=classes, values=codes)


def _labels_of_residues(task: Task, options: LabelOptions, values: list[str]) -> Labels:
    classes = tuple(sorted(set().union(*values) - set(options.unknown_letters)))
    number = {letter: i for i, letter in enumerate(classes)}
    codes = [number.get(letter, UNKNOWN) for value in values for letter in value]
    offsets = offsets_of(list(map(len, values)))
    return Labels(
        task=task,
        targets=options.targets,
        classes=classes,
        values=np.array(codes, np.int64),
        offsets=offsets,
    )


_LABELS: dict[Task, Callable[[Task, LabelOptions, Any], Labels]] = {
    "regression": _labels_of_numbers,
    "multi-label": _labels_of_numbers,
    "classification": _labels_of_classes,
    "per-residue": _labels_of_residues,
}


def _order(name: str) -> tuple[float, str]:
    """Return the sorting key of a class: numbers by size, then texts."""
    number = parse_number(name)
    return (np.inf if number is None else number), name
