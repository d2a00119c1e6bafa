"""Plan of a fine-tuning: it says which rows train each member, stop its training, calibrate and test it."""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Indices
from biofm_datasets.text import format_count

from biofm.core.errors import InputError, OptionError
from biofm.evaluation import deal_folds
from biofm.evaluation.supervised import TEST, TRAIN, UNKNOWN, VALIDATION, Fit, LabelledTable
from biofm.training.recipe import FinetuneRecipe

TEST_ROWS, OUT_OF_FOLD = "test", "out-of-fold"
FEWEST_ROWS = 3
_FOR_TEST, _FOR_VALIDATION = 0, 1  # independent streams of random numbers of one seed

LEAKED = "sequences of the test set that are in the training set too"
HELD_OUT = "rows chosen at random as the test set, because no column names one"


class Sets(NamedTuple):
    """Holds the rows of a table by their use. ``validation`` is empty if the table names no such rows."""

    training: Indices
    validation: Indices
    test: Indices

    @property
    def seen(self) -> Indices:
        return np.concatenate([self.training, self.validation])


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPlan:
    """Holds the rows of a member.

    Attributes:
        name: The name of the member and of its folder.
        fold: The number of its fold, counted from 0.
        seed: The seed of its random choices.
        train: The rows that train it.
        validation: The rows whose loss stops its training.
        held_out: The rows whose predictions by this member calibrate the predictor; with folds, they are
            evaluated too.
    """

    name: str
    fold: int
    seed: int
    train: Indices
    validation: Indices
    held_out: Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """Holds rows that are evaluated, and the rows to which their baselines are fitted.

    Attributes:
        rows: The rows that are evaluated.
        fits: The rows to which the baselines are fitted, and the rows that they predict.
        fitted: Names the rows of the fits for the user.
    """

    rows: Indices
    fits: list[Fit]
    fitted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Holds the members of a fine-tuning and all sets of rows.

    Attributes:
        members: The members, fold by fold.
        test: The test rows.
        calibration: The rows that calibrate, ascending.
        judged: The sets that are evaluated, at least one, by their names TEST_ROWS and OUT_OF_FOLD.
    """

    members: list[MemberPlan]
    test: Indices
    calibration: Indices
    judged: dict[str, JudgedSet]


def make_plan(table: LabelledTable, recipe: FinetuneRecipe, notices: Counter[str]) -> Plan:
    """Make the plan; the same table and recipe give the same plan.

    Random choices never put copies of a sequence into different sets.

    Raises:
        InputError: A set is too small, or nothing can be learned from it.
        OptionError: There are more folds than sequences.
    """
    sets = _find_sets(table, recipe, notices)
    _check_sizes(table, sets, recipe)
    _check_learnable(table, sets)
    seen = {table.sequences[row] for row in sets.seen}
    if n_leaked := len(seen & {table.sequences[row] for row in sets.test}):
        notices[LEAKED] += n_leaked
    folds = _deal(table, sets.training, recipe)
    members = [member for fold in range(len(folds)) for member in _members(table, sets, folds, fold, recipe)]
    return Plan(
        members=members,
        test=sets.test,
        calibration=np.unique(np.concatenate([member.held_out for member in members])),
        judged=_judged(sets, folds, recipe),
    )


def _find_sets(table: LabelledTable, recipe: FinetuneRecipe, notices: Counter[str]) -> Sets:
    if table.has_split:
        return Sets(*(np.flatnonzero(table.roles == role) for role in (TRAIN, VALIDATION, TEST)))
    rows = np.arange(len(table))
    if recipe.n_folds:
        return Sets(rows, rows[:0], rows[:0])
    test = _draw(table, rows, recipe.test_share, (recipe.seed, _FOR_TEST))
    notices[HELD_OUT] = len(test)
    return Sets(np.setdiff1d(rows, test), rows[:0], test)


def _deal(table: LabelledTable, training: Indices, recipe: FinetuneRecipe) -> list[Fit]:
    """Return the rows that train each fold and those that it leaves out; without folds, all rows and none."""
    if not recipe.n_folds:
        return [Fit(training, training[:0])]
    fold = deal_folds([table.sequences[row] for row in training], recipe.seed, recipe.n_folds)
    return [Fit(training[fold != i], training[fold == i]) for i in range(recipe.n_folds)]


def _members(
    table: LabelledTable, sets: Sets, folds: list[Fit], fold: int, recipe: FinetuneRecipe
) -> list[MemberPlan]:
    rest, left_out = folds[fold]
    validation = sets.validation
    if not len(validation):
        validation = _draw(table, rest, recipe.validation_share, (recipe.seed, _FOR_VALIDATION, fold))
    prefix = f"fold-{fold + 1}-" if recipe.n_folds else ""
    return [
        MemberPlan(
            name=f"{prefix}seed-{number}",
            fold=fold,
            seed=recipe.seed + number,
            train=np.setdiff1d(rest, validation),
            validation=validation,
            held_out=left_out if recipe.n_folds else validation,
        )
        for number in range(recipe.n_members)
    ]


def _judged(sets: Sets, folds: list[Fit], recipe: FinetuneRecipe) -> dict[str, JudgedSet]:
    judged = {}
    if len(sets.test):
        fitted = f"{len(sets.seen):,} rows that train or validate"
        judged[TEST_ROWS] = JudgedSet(rows=sets.test, fits=[Fit(sets.seen, sets.test)], fitted=fitted)
    if recipe.n_folds:
        fits = [Fit(np.concatenate([rest, sets.validation]), left_out) for rest, left_out in folds]
        fitted = f"the other {format_count(recipe.n_folds - 1, 'fold')}"
        judged[OUT_OF_FOLD] = JudgedSet(rows=np.sort(sets.training), fits=fits, fitted=fitted)
    return judged


def _draw(table: LabelledTable, rows: Indices, share: float, seed: tuple[int, ...]) -> Indices:
    """Draw a random ``share`` of the different sequences, at least one, and return all of their rows."""
    sequences = np.array([table.sequences[row] for row in rows], dtype=object)
    distinct, which = np.unique(sequences, return_inverse=True)
    n_drawn = max(1, round(share * len(distinct)))
    drawn = np.random.default_rng(seed).permutation(len(distinct))[:n_drawn]
    chosen: Indices = rows[np.isin(which, drawn)]
    return chosen


def _check_sizes(table: LabelledTable, sets: Sets, recipe: FinetuneRecipe) -> None:
    """Raise InputError if a set is too small, OptionError if there are more folds than sequences."""
    n_distinct, test = len({table.sequences[row] for row in sets.training}), sets.test
    if not table.has_split and min(n_distinct, len(test) or n_distinct) < FEWEST_ROWS:
        _refuse_few(table, recipe)
    if n_distinct < FEWEST_ROWS:
        there = format_count(n_distinct, "different sequence")
        what = f"the training set has only {there} with a target, of {format_count(len(table), 'row')} in all"
        remedy = f"Give at least {FEWEST_ROWS}; with --split-column, training rows say train"
        raise InputError(what, where=table.name, remedy=remedy)
    if recipe.n_folds > n_distinct:
        there = format_count(n_distinct, "different sequence")
        what = f"{recipe.n_folds} folds cannot be made of {there}"
        raise OptionError(what, where="--folds", remedy=f"Give at most {n_distinct}")
    if len(test) < FEWEST_ROWS and (len(test) or not recipe.n_folds):
        what = f"the test set has only {format_count(len(test), 'row')} with a target"
        remedy = f"Give at least {FEWEST_ROWS}, or none and --folds 5 to evaluate by cross-validation"
        raise InputError(what, where=table.name, remedy=remedy)


def _refuse_few(table: LabelledTable, recipe: FinetuneRecipe) -> None:
    """Raise InputError for a table without a split that has too few sequences to be divided into sets."""
    n_distinct = len(set(table.sequences))
    there = f"{format_count(n_distinct, 'different sequence')} with a target"
    what = f"the table has only {there}, in {format_count(len(table), 'row')}"
    if recipe.n_folds:
        raise InputError(what, where=table.name, remedy=f"Give at least {FEWEST_ROWS}")
    smaller = min(recipe.test_share, 1 - recipe.test_share)
    least = int((FEWEST_ROWS - 1) / smaller)  # Fewer are never enough.
    n_needed = next(n for n in count(least) if _is_enough(n, recipe.test_share))
    remedy = f"Give at least {n_needed:,}, of which a share of {recipe.test_share:g} is the test set"
    if n_distinct >= FEWEST_ROWS:
        remedy += f"; or give --folds {min(5, n_distinct)} to evaluate by cross-validation"
    raise InputError(what, where=table.name, remedy=remedy)


def _is_enough(n_distinct: int, test_share: float) -> bool:
    """Return whether both the drawn test set and the rest of as many sequences are large enough."""
    n_test = round(test_share * n_distinct)
    return min(n_test, n_distinct - n_test) >= FEWEST_ROWS


def _check_learnable(table: LabelledTable, sets: Sets) -> None:
    """Raise InputError if training has a single class or value, or the test set has a class that it lacks."""
    labels = table.labels.take(sets.seen)
    if labels.classes:
        known = np.unique(labels.codes[labels.codes != UNKNOWN])
        if len(known) < 2:
            only = labels.classes[int(known[0])] if len(known) else "nothing"
            what = f"the training rows have only {only!r} in {labels.targets[0]!r}: there is nothing to learn"
            raise InputError(what, where=table.name, remedy="Give rows of at least two classes")
        _refuse_unseen(table, set(known.tolist()), sets.test)
        return
    for target, values in zip(labels.targets, labels.numbers.T, strict=True):
        known = np.unique(values[~np.isnan(values)])
        if len(known) < 2:
            only = f"only {known[0]:.6g}" if len(known) else "no value"
            what = f"the training rows have {only} in {target!r}: there is nothing to learn"
            raise InputError(what, where=table.name, remedy="Name another target, or give more rows")


def _refuse_unseen(table: LabelledTable, seen: set[int], test: Indices) -> None:
    labels = table.labels
    for row in test:
        codes = labels.codes[row : row + 1]
        if labels.offsets is not None:
            codes = labels.codes[labels.offsets[row] : labels.offsets[row + 1]]
        if strange := set(codes.tolist()) - seen - {UNKNOWN}:
            name = labels.classes[min(strange)]
            what = f"the class {name!r} of this test row is in no training row"
            remedy = "Give training rows of this class, or leave its test rows out"
            raise InputError(what, where=table.where(row), remedy=remedy)
