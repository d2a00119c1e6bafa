"""Which rows train each member, which stop and calibrate it, and which judge all."""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Indices

from biofm.evaluation import deal_folds
from biofm.evaluation.supervised import TEST, TRAIN, VALIDATION, Fit, LabelledTable
from biofm.training.finetuning.checks import check_learnable, check_sizes
from biofm.training.recipe import FinetuneRecipe

TEST_ROWS, OUT_OF_FOLD = "test", "out-of-fold"
_FOR_TEST, _FOR_VALIDATION = 0, 1  # independent streams of random numbers of one seed

LEAKED = "sequences of the test set that stand in training too"
HELD_OUT = "rows kept at random for judging, since no column says which"


class Sets(NamedTuple):
    """Rows by what they are for. ``validation`` is empty where the table names none."""

    training: Indices
    validation: Indices
    test: Indices

    @property
    def seen(self) -> Indices:
        return np.concatenate([self.training, self.validation])


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPlan:
    """``held_out``: the rows whose predictions by this member calibrate; of a fold they are judged too."""

    name: str
    fold: int
    seed: int
    train: Indices
    validation: Indices
    held_out: Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """Rows that are judged, and what the baselines are fitted to for that; ``fitted`` says it in words."""

    rows: Indices
    fits: list[Fit]
    fitted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``calibration``: the rows that calibrate, in their order. ``judged``: by TEST_ROWS and OUT_OF_FOLD, of
    which there is at least one.
    """

    members: list[MemberPlan]
    test: Indices
    calibration: Indices
    judged: dict[str, JudgedSet]


def make_plan(table: LabelledTable, recipe: FinetuneRecipe, notices: Counter[str]) -> Plan:
    """The same plan for the same table and recipe. What is drawn here never puts a sequence on two sides.

    Raises InputError: a set that is needed is too small, or nothing can be learned from it.
    """
    sets = _find_sets(table, recipe, notices)
    check_sizes(table, sets.training, sets.test, recipe)
    check_learnable(table, sets.seen, sets.test)
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
    """What each fold trains on and what it leaves out; without folds, all and nothing."""
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
        fitted = f"the others of {recipe.n_folds} folds"
        judged[OUT_OF_FOLD] = JudgedSet(rows=np.sort(sets.training), fits=fits, fitted=fitted)
    return judged


def _draw(table: LabelledTable, rows: Indices, share: float, seed: tuple[int, ...]) -> Indices:
    """So large a share of the different sequences of these rows, at least one, with all their rows."""
    sequences = np.array([table.sequences[row] for row in rows], dtype=object)
    distinct, which = np.unique(sequences, return_inverse=True)
    n_drawn = max(1, round(share * len(distinct)))
    drawn = np.random.default_rng(seed).permutation(len(distinct))[:n_drawn]
    chosen: Indices = rows[np.isin(which, drawn)]
    return chosen
