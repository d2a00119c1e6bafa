"""An assay: the measurements of a table, the scores beside them, and what is known of the variants; with the
options that say how to read and judge it.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from biofm_datasets import Change, DataError, NoProteinError
from biofm_datasets.arrays import Bools, Floats
from biofm_datasets.columns import Columns, read_columns, stop_at
from numpy.typing import NDArray

from biofm.core.bounds import check_bound
from biofm.core.errors import InputError, OptionError
from biofm.evaluation.assay_row import AssayRow, read_row
from biofm.modalities import Modality

TRAIN, TEST = "train", "test"
FEWEST_ROWS = 3

FAULTY = "rows at fault, left out"
SKIP = "Correct it, or leave such rows out with --on-error skip"
NO_PROTEIN = "rows without a protein to judge (a stop codon, a frameshift, an empty variant), left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """The columns of an assay's table, and how its scores are judged.

    modality: what the whole sequences are; they are read by its rules. Letters that speak for another
    modality are a fault, unless the caller ``insists``.
    threshold: measurements at or above it are positive. with_mean: the mean of the scores' ranks is judged
    beside them. n_resamples, seed: of the bootstrap intervals; the seed deals the folds of baselines too.

    Raises OptionError for options that contradict each other.
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
                f"{self.threshold} is no threshold", where="--threshold", remedy="Give a number"
            )
        if self.with_mean and len(self.score_columns) < 2:
            what = "one score has no mean with others"
            raise OptionError(what, where="--mean-rank", remedy="Name several with --score-column")
        if self.variant_column is not None and not self.modality.has_variants:
            raise unread_variants(self.modality, "--variant-column")
        check_bound("n_resamples", self.n_resamples, "--resamples")
        check_bound("seed", self.seed, "--seed")


def unread_variants(modality: Modality, option: str) -> OptionError:
    """The error for an option that is about variants, where nobody here can read those of the modality."""
    what = f"the table is of {modality.words.items}, whose variants nobody here can read"
    return OptionError(
        what, where=option, remedy="Leave it out, and name whole sequences with --mutated-column"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assay:
    """A table of variants with measurements, one row a variant.

    scores: columns of the table, NaN where a cell is empty.
    is_judged: false for rows that only train baselines, see ``--split-column``.
    positive: in words, what ``is_positive`` means; ``threshold`` is None where a column said it.
    changes, sequences: None where the table does not tell them.
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

    def where(self, row: int) -> str:
        """The place of a row for a message."""
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
    """Read the rows that have a measurement; ``notices`` counts the others.

    Raises DataError: the file is at fault, or a row of it (unless ``skip_faulty``). InputError: what is left
    cannot be ranked.
    """

    def count(fault: DataError) -> None:
        notices[FAULTY] += 1

    at_fault = count if skip_faulty else stop_at
    texts = (options.variant_column, options.mutated_column, options.binary_column, options.split_column)
    columns = read_columns(
        stream,
        name,
        numbers=[options.measured_column, *options.score_columns],
        texts=[text for text in texts if text is not None],
        at_fault=at_fault,
    )
    candidates = _rows_to_use(columns, options, notices)
    found = _read_rows(columns, candidates, options, wild_type, notices, at_fault)
    is_judged = _judged(columns, list(found), options)
    _refuse_unrankable(columns, np.array(list(found), np.int64)[is_judged], options)
    return _assay(columns, found, is_judged, options)


def _rows_to_use(columns: Columns, options: EvaluateOptions, notices: Counter[str]) -> list[int]:
    """The rows with a measurement and, where there is a split, in one of its two sets."""
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
) -> dict[int, AssayRow]:
    """What each row says of its variant, by the number of the row; rows at fault are left out."""
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
            remedy = f"{fault.remedy}; or leave such rows out with --on-error skip" if fault.remedy else SKIP
            at_fault(DataError(fault.what, where=columns.where(row), remedy=remedy))
    return found


def _judged(columns: Columns, rows: Sequence[int], options: EvaluateOptions) -> Bools:
    """Whether each row is judged: all are, or those of the test set. Raises InputError where a set is
    empty.
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
            what = f"column {name!r} has {len(values)} values beside a measurement, too few to rank"
            raise InputError(what, where=columns.name, remedy=f"Give at least {FEWEST_ROWS}")
        if values.min() == values.max():
            what = f"column {name!r} holds {values[0]:.6g} in every row, so there is nothing to rank"
            raise InputError(what, where=columns.name, remedy="Name another column")


def _refuse_one_class(name: str, is_positive: Bools, positive: str) -> None:
    if is_positive.all() or not is_positive.any():
        which = "every" if is_positive.all() else "no"
        what = f"{which} row is positive ({positive}), so AUROC and MCC say nothing"
        raise InputError(what, where=name, remedy="Say what is positive with --threshold or --binary-column")
