"""An assay: the measurements of a table, the scores beside them, and what is known of the variants."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from biofm_datasets import Change, DataError, Record, clean_protein, parse_variant
from biofm_datasets.changes import apply, changes_between, locate
from biofm_datasets.columns import Columns, read_columns, stop_at
from numpy.typing import NDArray

from biofm.core.errors import InputError, OptionError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LABELS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}
TRAIN, TEST = "train", "test"
FEWEST_ROWS = 3

FAULTY = "rows at fault, left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Names of columns, and how to judge. ``threshold``: measurements at or above it are positive."""

    measured: str
    scores: tuple[str, ...]
    variant: str | None = None
    sequence: str | None = None
    binary: str | None = None
    threshold: float | None = None
    split: str | None = None
    n_resamples: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        for number, name in enumerate(self.scores):
            if name in (self.measured, *self.scores[:number]):
                what = f"column {name!r} is named twice, as a score or as the measurement"
                raise OptionError(what, where="--score", remedy="Name each column once")
        if self.binary is not None and self.threshold is not None:
            what = "--binary and --threshold both say what is positive"
            raise OptionError(what, remedy="Give one of them, or neither for the median")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise OptionError(
                f"{self.threshold} is no threshold", where="--threshold", remedy="Give a number"
            )
        if self.n_resamples < 0:
            what = f"{self.n_resamples} resamples cannot be drawn"
            raise OptionError(what, where="--resamples", remedy="Give 1000, or 0 for no intervals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assay:
    """One row a variant with a measurement.

    scores: columns of the table, NaN where a cell is empty.
    is_judged: false for rows that only train baselines, see ``--split``.
    positive: in words, what ``is_positive`` means; ``threshold`` is None where a column said it.
    changes, sequences: None where the table does not tell them.
    has_wild_type: whether the wild type's whole sequence was given.
    """

    name: str
    places: list[str]
    measured: Floats
    scores: dict[str, Floats]
    is_judged: Bools
    is_positive: Bools
    positive: str
    threshold: float | None
    changes: list[tuple[Change, ...]] | None
    sequences: list[str] | None
    has_wild_type: bool

    def where(self, row: int) -> str:
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
    texts = [text for text in _text_columns(options) if text is not None]
    numbers = [options.measured, *options.scores]
    columns = read_columns(stream, name, numbers=numbers, texts=texts, at_fault=at_fault)
    candidates = _rows_to_use(columns, options, notices)
    rows, facts = [], []
    for row, found in _read_rows(columns, candidates, options, wild_type, at_fault):
        rows.append(row)
        facts.append(found)
    _refuse_unrankable(columns, rows, options)
    return _assay(columns, rows, facts, options, wild_type)


class _Facts(NamedTuple):
    """What one row says of its variant; None where it says nothing."""

    changes: tuple[Change, ...] | None
    sequence: str | None
    is_positive: bool | None


def _text_columns(options: EvaluateOptions) -> tuple[str | None, ...]:
    return options.variant, options.sequence, options.binary, options.split


def _rows_to_use(columns: Columns, options: EvaluateOptions, notices: Counter[str]) -> NDArray[np.intp]:
    """Those with a measurement and, where there is a split, in one of its two sets."""
    is_used = ~np.isnan(columns.numbers[options.measured])
    if n_empty := int((~is_used).sum()):
        notices[f"rows without a measurement in {options.measured!r}, left out"] = n_empty
    if options.split is not None:
        in_split = np.isin(_sets(columns, options.split), (TRAIN, TEST))
        if n_outside := int((is_used & ~in_split).sum()):
            notices[f"rows that are neither train nor test in {options.split!r}, left out"] = n_outside
        is_used &= in_split
    return np.flatnonzero(is_used)


def _sets(columns: Columns, split: str) -> NDArray[np.str_]:
    return np.char.lower(np.array(columns.texts[split], dtype=np.str_))


def _read_rows(
    columns: Columns,
    rows: NDArray[np.intp],
    options: EvaluateOptions,
    wild_type: str | None,
    at_fault: Callable[[DataError], None],
) -> Iterator[tuple[int, _Facts]]:
    for row in rows.tolist():
        cells = [
            columns.texts[name][row] if name is not None else None for name in _text_columns(options)[:3]
        ]
        try:
            yield row, _read_facts(*cells, wild_type)
        except DataError as fault:
            at_fault(DataError(fault.what, where=columns.where(row), remedy=fault.remedy))


def _read_facts(
    variant: str | None, residues: str | None, label: str | None, wild_type: str | None
) -> _Facts:
    changes = parse_variant(variant) if variant is not None else None
    sequence = None
    if residues is not None:
        sequence = clean_protein(Record("", "".join(residues.split())), Counter()).sequence
    if wild_type is not None and changes is not None:
        changes = locate(changes, wild_type)
        sequence = sequence or apply(changes, wild_type)
    elif wild_type is not None and sequence is not None:
        changes = changes_between(wild_type, sequence)
    return _Facts(changes, sequence, None if label is None else _label(label))


def _label(cell: str) -> bool:
    if cell.lower() not in LABELS:
        raise DataError(f"{cell!r} is neither 0 nor 1", remedy="A --binary column holds 0 and 1 alone")
    return LABELS[cell.lower()]


def _assay(
    columns: Columns, rows: list[int], facts: list[_Facts], options: EvaluateOptions, wild_type: str | None
) -> Assay:
    measured = columns.numbers[options.measured][rows]
    is_judged = np.ones(len(rows), np.bool_)
    if options.split is not None:
        is_judged = _sets(columns, options.split)[rows] == TEST
    threshold = None
    if options.binary is not None:
        is_positive = np.array([fact.is_positive for fact in facts], np.bool_)
        positive = f"{options.binary} is 1"
    else:
        is_median = options.threshold is None
        threshold = float(np.median(measured[is_judged])) if options.threshold is None else options.threshold
        is_positive = measured >= threshold
        positive = f"{options.measured} at or above {'its median, ' * is_median}{threshold:.6g}"
    _refuse_one_class(columns.name, is_positive[is_judged], positive)
    changes = [fact.changes for fact in facts if fact.changes is not None]
    sequences = [fact.sequence for fact in facts if fact.sequence is not None]
    return Assay(
        name=columns.name,
        places=[columns.places[row] for row in rows],
        measured=measured,
        scores={name: columns.numbers[name][rows] for name in options.scores},
        is_judged=is_judged,
        is_positive=is_positive,
        positive=positive,
        threshold=threshold,
        changes=changes if len(changes) == len(rows) else None,
        sequences=sequences if len(sequences) == len(rows) else None,
        has_wild_type=wild_type is not None,
    )


def _refuse_unrankable(columns: Columns, rows: list[int], options: EvaluateOptions) -> None:
    """Raise InputError where nothing can be learnt of a column: too few values, or all of them equal."""
    is_judged = np.ones(len(rows), np.bool_)
    if options.split is not None:
        sets = _sets(columns, options.split)[rows]
        is_judged = sets == TEST
        for wanted in (TRAIN, TEST):
            if not (sets == wanted).any():
                what = f"no row with a measurement has {wanted!r} in column {options.split!r}"
                raise InputError(what, where=columns.name, remedy="A split column holds train and test")
    measured = columns.numbers[options.measured][rows]
    for name in (options.measured, *options.scores):
        values = columns.numbers[name][rows]
        values = values[is_judged & ~np.isnan(values) & ~np.isnan(measured)]
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
        remedy = "Say what is positive with --threshold or --binary"
        raise InputError(what, where=name, remedy=remedy)
