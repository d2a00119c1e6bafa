"""Bootstrap intervals: the rows of a table are drawn many times, with replacement."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

CONFIDENCE = 0.95
CELLS_AT_ONCE = 1 << 16  # cells of a block of counts, which then fits into the processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalEstimate:
    """Holds a value and its 95 % percentile interval.

    Attributes:
        value: The value; None if it is not defined.
        low: Lower bound; None if it is not defined.
        high: Upper bound; None if it is not defined.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The bounds of the interval; this is None where they are not defined."""
        return None if self.low is None or self.high is None else (self.low, self.high)


def draw_counts(n_rows: int, n_resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Draw rows with replacement, and yield how often each resample drew each row, in blocks (resamples,
    rows).

    The drawings do not depend on the size of the blocks.
    """
    generator = np.random.default_rng(seed)
    n_at_once = max(1, CELLS_AT_ONCE // max(n_rows, 1))
    for begin in range(0, n_resamples, n_at_once):
        drawings = [
            np.bincount(generator.integers(n_rows, size=n_rows), minlength=n_rows)
            for _ in range(min(n_at_once, n_resamples - begin))
        ]
        yield np.stack(drawings).astype(np.float64)


def estimate(value: float, resampled: Floats) -> IntervalEstimate:
    """Return a value with the interval of its resamples. There is no interval if most resamples are
    undefined.
    """
    defined = resampled[~np.isnan(resampled)]
    if np.isnan(value) or 2 * len(defined) <= len(resampled):
        return IntervalEstimate(value=None if np.isnan(value) else float(value))
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return IntervalEstimate(value=float(value), low=float(low), high=float(high))
