"""What a calibrated predictor was worth on rows that neither trained nor calibrated it."""

import math
from dataclasses import astuple, dataclass
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.evaluation.supervised.labels import UNKNOWN, Labels, offsets_of

Z = 1.959963984540054  # of the normal distribution, for 95 %
THRESHOLD = 0.5  # of a label's probability
TOLERANCE = 0.02  # more than this is promised too much


class Share(NamedTuple):
    """``value`` of ``n`` are so, with the bounds of its 95 % interval (Wilson 1927,
    https://doi.org/10.1080/01621459.1927.10502953).
    """

    n: int
    value: float
    low: float
    high: float


def share_of(n_such: int, n: int) -> Share:
    """``n`` is at least 1."""
    value = n_such / n
    middle = value + Z**2 / (2 * n)
    reach = Z * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return Share(n, value, max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """How often what was called most probable was right, beside the mean of the probabilities that said so.

    ``n`` rows or residues of ``n_rows`` rows, or labels of them. ``low`` and ``high``: the 95 % interval of
    ``promised`` less ``right``, by rows: residues of one sequence are not independent.
    """

    n: int
    n_rows: int
    right: float
    promised: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(isinstance(value, int | float) for value in astuple(self)):
            raise ValueError("its promise is not described by numbers")

    @property
    def is_false(self) -> bool:
        """Whether the probabilities surely promise more than was found."""
        return self.low > TOLERANCE


def keep_promise(labels: Labels, probabilities: Floats) -> Promise | None:
    """Of classes and labels; None where nothing is known, or of one row alone."""
    row, confidence, is_right = _choices(labels, probabilities)
    n_rows = len(np.unique(row))
    if n_rows < 2:
        return None
    n_of_row = np.bincount(row)
    excess = np.bincount(row, confidence - is_right)
    n = len(row)
    gap = float(excess.sum() / n)
    deviations = (excess - gap * n_of_row)[n_of_row > 0]
    reach = Z * math.sqrt(n_rows / (n_rows - 1) * float((deviations**2).sum())) / n
    return Promise(
        n=n,
        n_rows=n_rows,
        right=float(is_right.mean()),
        promised=float(confidence.mean()),
        low=gap - reach,
        high=gap + reach,
    )


def _choices(labels: Labels, probabilities: Floats) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
    """Of everything known: its row, the probability of what is called most probable, and whether it is so."""
    if labels.classes:
        offsets = offsets_of([1] * len(labels)) if labels.offsets is None else labels.offsets
        rows = np.repeat(np.arange(len(labels)), np.diff(offsets))
        is_known = labels.codes != UNKNOWN
        chosen = probabilities[is_known]
        return rows[is_known], chosen.max(axis=1), chosen.argmax(axis=1) == labels.codes[is_known]
    is_known = ~np.isnan(labels.numbers)
    rows = np.repeat(np.arange(len(labels)), is_known.sum(axis=1))
    p, truth = probabilities[is_known], labels.numbers[is_known] == 1
    return rows, np.maximum(p, 1 - p), (p >= THRESHOLD) == truth
