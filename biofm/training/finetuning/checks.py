"""Whether a table, split as it is, can teach and judge at all."""

import numpy as np
from biofm_datasets.arrays import Indices

from biofm.core.errors import InputError, OptionError
from biofm.evaluation.supervised import UNKNOWN, LabelledTable
from biofm.training.recipe import FinetuneRecipe

FEWEST_ROWS = 3


def check_sizes(table: LabelledTable, training: Indices, test: Indices, recipe: FinetuneRecipe) -> None:
    """Raise InputError where a set is too small, OptionError where there are more folds than sequences."""
    n_distinct = len({table.sequences[row] for row in training})
    if n_distinct < FEWEST_ROWS:
        what = f"{n_distinct} different sequences with a target are there to train on"
        remedy = f"Give at least {FEWEST_ROWS}; a --split-column says train in their rows"
        raise InputError(what, where=table.name, remedy=remedy)
    if recipe.n_folds > n_distinct:
        what = f"{recipe.n_folds} folds cannot be made of {n_distinct} different sequences"
        raise OptionError(what, where="--folds", remedy=f"Give at most {n_distinct}")
    if len(test) < FEWEST_ROWS and (len(test) or not recipe.n_folds):
        what = f"the test set has {len(test)} rows with a target, too few to judge by"
        remedy = f"Give at least {FEWEST_ROWS}, or none and --folds 5 to judge by cross-validation"
        raise InputError(what, where=table.name, remedy=remedy)


def check_learnable(table: LabelledTable, seen: Indices, test: Indices) -> None:
    """Raise InputError where all that training sees is of one kind, or the test set has another one."""
    labels = table.labels.take(seen)
    if labels.classes:
        known = np.unique(labels.codes[labels.codes != UNKNOWN])
        if len(known) < 2:
            only = labels.classes[int(known[0])] if len(known) else "nothing"
            what = f"training holds {only!r} alone in {labels.targets[0]!r}, so there is nothing to learn"
            raise InputError(what, where=table.name, remedy="Give rows of two classes at least")
        _refuse_unseen(table, set(known.tolist()), test)
        return
    for target, values in zip(labels.targets, labels.numbers.T, strict=True):
        known = np.unique(values[~np.isnan(values)])
        if len(known) < 2:
            only = f"{known[0]:.6g} alone" if len(known) else "no value"
            what = f"training holds {only} in {target!r}, so there is nothing to learn"
            raise InputError(what, where=table.name, remedy="Name another target, or give more rows")


def _refuse_unseen(table: LabelledTable, seen: set[int], test: Indices) -> None:
    labels = table.labels
    for row in test:
        codes = labels.codes[row : row + 1]
        if labels.offsets is not None:
            codes = labels.codes[labels.offsets[row] : labels.offsets[row + 1]]
        if strange := set(codes.tolist()) - seen - {UNKNOWN}:
            name = labels.classes[min(strange)]
            what = f"the class {name!r} of this test row is in no row that trains"
            remedy = "Give training rows of it, or leave its test rows out"
            raise InputError(what, where=table.where(row), remedy=remedy)
