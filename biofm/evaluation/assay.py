"""An assay: the measurements of a table, the scores beside them, and what is known of the variants."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from biofm_datasets import Change, DataError, NoProteinError
from biofm_datasets.arrays import Bools, Floats
from biofm_datasets.columns import Columns, read_columns, stop_at
from numpy.typing import NDArray

from biofm.core.errors import InputError
from biofm.evaluation.facts import Facts, read_facts
from biofm.evaluation.options import EvaluateOptions
from biofm.modalities import Modality

TRAIN, TEST = "train", "test"
FEWEST_ROWS = 3

FAULTY = "rows at fault, left out"
SKIP = "Correct it, or leave such rows out with --on-error skip"
NO_PROTEIN = "rows without a protein to judge (a stop codon, a frameshift, an empty variant), left out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assay:
    """One row a variant with a measurement.

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
    facts = _read_rows(columns, candidates, options, wild_type, notices, at_fault)
    is_judged = _judged(columns, list(facts), options)
    _refuse_unrankable(columns, np.array(list(facts), np.int64)[is_judged], options)
    return _assay(columns, facts, is_judged, options)


def _rows_to_use(columns: Columns, options: EvaluateOptions, notices: Counter[str]) -> list[int]:
    """Those with a measurement and, where there is a split, in one of its two sets."""
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
) -> dict[int, Facts]:
    """The facts of each row; without those at fault."""
    names = (options.variant_column, options.mutated_column, options.binary_column)
    facts = {}
    for row in rows:
        cells = [None if name is None else columns.texts[name][row] for name in names]
        try:
            facts[row] = read_facts(
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
    return facts


def _judged(columns: Columns, rows: Sequence[int], options: EvaluateOptions) -> Bools:
    """All rows, or those of the test set. Raises InputError where either set is empty."""
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


def _assay(columns: Columns, facts: dict[int, Facts], is_judged: Bools, options: EvaluateOptions) -> Assay:
    rows = list(facts)
    measured = columns.numbers[options.measured_column][rows]
    threshold = options.threshold
    if options.binary_column is not None:
        is_positive = np.array([fact.is_positive for fact in facts.values()], np.bool_)
        positive = f"{options.binary_column} is 1"
    else:
        threshold = float(np.median(measured[is_judged])) if threshold is None else threshold
        is_positive = measured >= threshold
        kind = "its median, " if options.threshold is None else ""
        positive = f"{options.measured_column} at or above {kind}{threshold:.6g}"
    _refuse_one_class(columns.name, is_positive[is_judged], positive)
    changes = [fact.changes for fact in facts.values() if fact.changes is not None]
    sequences = [fact.sequence for fact in facts.values() if fact.sequence is not None]
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
