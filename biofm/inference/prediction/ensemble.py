"""Several members that predict as one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats


class Combined(NamedTuple):
    """The mean of the members' outputs, and their ``spread``; None where no two were trained on the same
    rows.
    """

    outputs: Floats
    spread: Floats | None


def combine(outputs: Sequence[Floats], folds: Sequence[int]) -> Combined:
    """The spread is the standard deviation among members of one fold, whose training rows are the same: of an
    out-of-fold prediction there are no others. Over several folds it is their mean.
    """
    mean = np.stack(outputs).mean(axis=0, dtype=np.float64)
    pairs = list(zip(outputs, folds, strict=True))
    groups = [[it for it, fold in pairs if fold == one] for one in sorted(set(folds))]
    if min(map(len, groups)) < 2:
        return Combined(mean, None)
    spreads = [np.stack(group).std(axis=0, dtype=np.float64) for group in groups]
    return Combined(mean, np.stack(spreads).mean(axis=0))
