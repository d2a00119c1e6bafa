"""Assays: a table of measurements is read with its scores and variants, and with options for judging it."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from biofm_datasets import Change, DataError, NoProteinError
from biofm_datasets.arrays import Bools, Floats
from biofm_datasets.columns import Columns, read_columns, read_names, stop_at
from biofm_datasets.text import format_count
from biofm_datasets.variants import VARIANT_COLUMNS
from numpy.typing import NDArray

from biofm.core.bounds import check_bound
from biofm.core.errors import InputError, OptionError
from biofm.evaluation.assay_row import AssayRow, read_row
from biofm.modalities import Modality, note_skipped

TRAIN, TEST = "train", "test"
FEWEST_ROWS = 3

FAULTY = "rows at fault, left out"
SKIP = "leave such rows out with --on-error skip"
NO_PROTEIN = "rows without a protein to judge (a stop codon, a frameshift, an empty variant), left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Holds the columns of an assay's table, and how its scores are judged.

    Attributes:
        modality: Kind of the whole sequences in the table; its rules apply when they are read.
        measured_column: Column of the measurements.
        score_columns: Columns of the scores.
        variant_column: Column of the variants, for example "A23P". None takes the first column with a usual
            name, unless whole sequences are named; if it holds no variants, a notice says so.
        mutated_column: Column of the whole mutated sequences; None if there is none.
        binary_column: Column of 0 and 1 that says which rows are positive; None derives this from the
            measurements.
        threshold: Rows whose measurement reaches it are positive. None takes the median.
        split_column: Column that says train or test; only test rows are judged. None judges all rows.
        with_mean: Whether to judge the mean of the scores' ranks too.
        n_resamples: Number of resamples behind the bootstrap intervals.
        seed: Seed of the resamples and of the folds of baselines.
        insists: Whether the user named the modality, so that letters typical of another modality are
            accepted.

    Raises:
        OptionError: Options contradict each other.
    """

    modality: Modality
    measured_column: str
    score_columns: tuple[str, ...]
    variant_column: str | None = None
    mutated_column: str | None = None
    binary_column: str | None = None
    threshold: float | None = None
    split_column: str | None = None
    with_mean: bool = False
    n_resamples: int = 1000
    seed: int = 0
    insists: bool = False

    def __post_init__(self) -> None:
        for number, name in enumerate(self.score_columns):
            if name in (self.measured_column, *self.score_columns[:number]):
                what = f"column {name!r} is named twice, as a score or as the measurement"
                raise OptionError(what, where="--score-column", remedy="Name each column once")
        if self.binary_column is not None and self.threshold is not None:
            what = "--binary-column and --threshold both say what is positive"
            raise OptionError(what, remedy="Give one of them, or neither for the median")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise OptionError(
                f"{self.threshold} is not a finite number", where="--threshold", remedy="Give a number"
            )
        if self.with_mean and len(self.score_columns) < 2:
            what = "a mean of ranks needs at least two scores"
            raise OptionError(what, where="--mean-rank", remedy="Name several with --score-column")
        if self.variant_column is not None and not self.modality.has_variants:
            raise unread_variants(self.modality, "--variant-column")
        check_bound("n_resamples", self.n_resamples, "--resamples")
        check_bound("seed", self.seed, "--seed")


def unread_variants(modality: Modality, option: str) -> OptionError:
    """Return the error for an option about variants if the modality has none that biofm can read.

    Args:
        modality: Kind of the sequences in the table.
        option: The option, as the user wrote it.
    """
    what = f"the table holds {modality.words.items}, and biofm cannot read their variants"
    return OptionError(
        what, where=option, remedy="Leave it out, and name whole sequences with --mutated-column"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assay:
    """Holds the judged part of a table: one row for each variant with a measurement.

    Attributes:
        name: Name of the table, for messages.
        modality: Kind of the sequences.
        places: Place of each row in the file, for messages.
        measured: Measurement of each row.
        scores: Scores of each column, by its name; NaN for an empty cell.
        is_judged: Whether a row is judged; False for rows that only train baselines (``--split-column``).
        is_positive: Whether a row counts as positive, for AUROC and MCC.
        positive: What counts as positive, in words.
        threshold: Least measurement of a positive row; None if a column says which rows are positive.
        changes: Changes of each variant against the wild type; None if they are not known.
        sequences: Whole sequence of each variant; None if they are not known.
        unread_column: A column with a usual name of variants that could not be read as such; None if there
            is none.
    """

    name: str
    modality: Modality
    places: list[str]
    measured: Floats
    scores: dict[str, Floats]
    is_judged: Bools
    is_positive: Bools
    positive: str
    threshold: float | None
    changes: list[tuple[Change, ...]] | None
    sequences: list[str] | None
    unread_column: str | None = None

    def where(self, row: int) -> str:
        """Return the place of a row, for messages.

        Args:
            row: Number of the row, from 0.
        """
        return f"{self.name}, {self.places[row]}"


def read_assay(
    stream: BinaryIO,
    name: str,
    options: EvaluateOptions,
    wild_type: str | None,
    notices: Counter[str],
    *,
    skip_faulty: bool = False,
) -> Assay:
    """Read the rows that have a measurement.

    Args:
        stream: The opened table.
        name: Its name, for messages.
        options: Columns, and how scores are judged.
        wild_type: Sequence of the wild type; None if it is not known.
        notices: Counts rows that are left out.
        skip_faulty: Whether to leave out faulty rows instead of raising an error.

    Raises:
        DataError: The file or a row of it is faulty.
        InputError: The remaining rows cannot be ranked.
    """

    def count(fault: DataError) -> None:
        note_skipped(fault, notices, FAULTY)

    at_fault = count if skip_faulty else stop_at
    usual = _usual_column(read_names(stream, name), options)
    skip = SKIP if usual is None else f"{SKIP} and --variant-column {usual}"
    variants = options.variant_column if usual is None else usual
    texts = (variants, options.mutated_column, options.binary_column, options.split_column)
    columns = read_columns(
        stream,
        name,
        numbers=[options.measured_column, *options.score_columns],
        texts=[text for text in texts if text is not None],
        at_fault=at_fault,
    )
    if usual is not None:
        counted: Counter[str] = Counter()
        try:
            with_usual = replace(options, variant_column=usual)
            assay = _read_assay(columns, with_usual, wild_type, counted, stop_at, skip)
        except (DataError, InputError) as fault:
            unread = f"Column {usual!r} was not read as variants: {fault}."
        else:
            notices.update(counted)
            return assay
    assay = _read_assay(columns, options, wild_type, notices, at_fault, SKIP)
    if usual is not None:
        notices[unread] = 1
    return replace(assay, unread_column=usual)


def _usual_column(names: Sequence[str], options: EvaluateOptions) -> str | None:
    """Return the column of variants that is taken if the options name no column of variants or sequences."""
    is_named = options.variant_column is not None or options.mutated_column is not None
    if is_named or not options.modality.has_variants:
        return None
    others = (options.measured_column, *options.score_columns, options.binary_column, options.split_column)
    return next((name for name in VARIANT_COLUMNS if name not in others and names.count(name) == 1), None)


def _read_assay(
    columns: Columns,
    options: EvaluateOptions,
    wild_type: str | None,
    notices: Counter[str],
    at_fault: Callable[[DataError], None],
    skip: str,
) -> Assay:
    """Make the assay of the columns. ``skip`` says to the user how faulty rows are left out."""
    candidates = _rows_to_use(columns, options, notices)
    found = _read_rows(columns, candidates, options, wild_type, notices, at_fault, skip)
    is_judged = _judged(columns, list(found), options)
    _refuse_unrankable(columns, np.array(list(found), np.int64)[is_judged], options)
    return _assay(columns, found, is_judged, options)


def _rows_to_use(columns: Columns, options: EvaluateOptions, notices: Counter[str]) -> list[int]:
    """Return the rows that have a measurement and, with a split, are in one of its sets."""
    is_used = ~np.isnan(columns.numbers[options.measured_column])
    if n_empty := int((~is_used).sum()):
        notices[f"rows without a measurement in {options.measured_column!r}, left out"] = n_empty
    if options.split_column is not None:
        in_split = np.isin(_sets(columns, options.split_column), (TRAIN, TEST))
        if n_outside := int((is_used & ~in_split).sum()):
            notices[f"rows that are neither train nor test in {options.split_column!r}, left out"] = n_outside
        is_used &= in_split
    return np.flatnonzero(is_used).tolist()


def _read_rows(
    columns: Columns,
    rows: Sequence[int],
    options: EvaluateOptions,
    wild_type: str | None,
    notices: Counter[str],
    at_fault: Callable[[DataError], None],
    skip: str,
) -> dict[int, AssayRow]:
    """Read the variant, the sequence and the label of each row, by the number of the row. Faulty rows are
    left out; ``skip`` says to the user how.
    """
    names = (options.variant_column, options.mutated_column, options.binary_column)
    found = {}
    for row in rows:
        cells = [None if name is None else columns.texts[name][row] for name in names]
        try:
            found[row] = read_row(
                *cells,
                modality=options.modality,
                insists=options.insists,
                wild_type=wild_type,
                notices=notices,
            )
        except NoProteinError:
            notices[NO_PROTEIN] += 1
        except DataError as fault:
            remedy = f"{fault.remedy or 'Correct it'}; or {skip}"
            at_fault(DataError(fault.what, where=columns.where(row), remedy=remedy))
    return found


def _judged(columns: Columns, rows: Sequence[int], options: EvaluateOptions) -> Bools:
    """Return whether each row is judged: all rows, or those of the test set.

    Raises:
        InputError: A set is empty.
    """
    if options.split_column is None:
        return np.ones(len(rows), np.bool_)
    sets = _sets(columns, options.split_column)[rows]
    for wanted in (TRAIN, TEST):
        if wanted not in sets:
            what = f"no row with a measurement has {wanted!r} in column {options.split_column!r}"
            raise InputError(what, where=columns.name, remedy="--split-column holds train and test")
    is_judged: Bools = sets == TEST
    return is_judged


def _sets(columns: Columns, split: str) -> NDArray[np.str_]:
    return np.char.lower(np.array(columns.texts[split], dtype=np.str_))


def _assay(columns: Columns, found: dict[int, AssayRow], is_judged: Bools, options: EvaluateOptions) -> Assay:
    rows = list(found)
    measured = columns.numbers[options.measured_column][rows]
    threshold = options.threshold
    if options.binary_column is not None:
        is_positive = np.array([row.is_positive for row in found.values()], np.bool_)
        positive = f"{options.binary_column} is 1"
    else:
        threshold = float(np.median(measured[is_judged])) if threshold is None else threshold
        is_positive = measured >= threshold
        kind = "its median, " if options.threshold is None else ""
        positive = f"{options.measured_column} at or above {kind}{threshold:.6g}"
    _refuse_one_class(columns.name, is_positive[is_judged], positive)
    changes = [row.changes for row in found.values() if row.changes is not None]
    sequences = [row.sequence for row in found.values() if row.sequence is not None]
    return Assay(
        name=columns.name,
        modality=options.modality,
        places=[columns.places[row] for row in rows],
        measured=measured,
        scores={name: columns.numbers[name][rows] for name in options.score_columns},
        is_judged=is_judged,
        is_positive=is_positive,
        positive=positive,
        threshold=threshold,
        changes=changes or None,
        sequences=sequences or None,
    )


def _refuse_unrankable(columns: Columns, rows: NDArray[np.int64], options: EvaluateOptions) -> None:
    """Raise InputError where a column has too few values to rank, or all of them are equal."""
    for name in (options.measured_column, *options.score_columns):
        values = columns.numbers[name][rows]
        values = values[~np.isnan(values)]
        if len(values) < FEWEST_ROWS:
            number = format_count(len(values), "value")
            what = f"column {name!r} has {number} in rows with a measurement, too few to rank"
            raise InputError(what, where=columns.name, remedy=f"Give at least {FEWEST_ROWS}")
        if values.min() == values.max():
            what = f"column {name!r} holds {values[0]:.6g} in every row, so there is nothing to rank"
            raise InputError(what, where=columns.name, remedy="Name another column")


def _refuse_one_class(name: str, is_positive: Bools, positive: str) -> None:
    if is_positive.all() or not is_positive.any():
        which = "every" if is_positive.all() else "no"
        what = f"{which} row is positive ({positive}), so AUROC and MCC say nothing"
        raise InputError(what, where=name, remedy="Say what is positive with --threshold or --binary-column")
