"""How far a protein lies from the nearest of those that trained, in the space that a head stands on."""

from collections.abc import Mapping

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.core.errors import ModelError

MOST_KEPT = 1000  # of the vectors of training rows: at 1,280 dimensions 5 MB
LEAST_SPREAD = 1e-7  # of the largest: a dimension that varies less says nothing
ROWS_AT_ONCE = 1024

NAMES = ("mean", "factor", "vectors")


class Nearest:
    """``vectors``: of training rows, less their ``mean``, times ``factor``: one over their standard
    deviation, and over the root of the number of dimensions that vary. So a distance of 1 is one standard
    deviation in every dimension.
    """

    def __init__(self, mean: Floats, factor: Floats, vectors: Floats) -> None:
        self.mean = mean
        self.factor = factor
        self.vectors = vectors

    @classmethod
    def of(cls, rows: Floats) -> "Nearest":
        """Of one vector a training row."""
        values = rows.astype(np.float64)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        is_varied = spread > LEAST_SPREAD * spread.max(initial=0)
        factor = np.divide(1, spread, out=np.zeros_like(spread), where=is_varied)
        factor /= max(1, is_varied.sum()) ** 0.5
        return cls(mean, factor, ((values - mean) * factor).astype(np.float32))

    def distances(self, rows: Floats) -> NDArray[np.float64]:
        """The Euclidean distance of each row to the nearest training row."""
        parts = np.split(rows, range(ROWS_AT_ONCE, len(rows), ROWS_AT_ONCE))
        return np.concatenate([self._of_part(part) for part in parts])

    def _of_part(self, rows: Floats) -> NDArray[np.float64]:
        kept = self.vectors.astype(np.float64)
        x = (rows - self.mean) * self.factor
        squares = (x**2).sum(axis=1)[:, None] + (kept**2).sum(axis=1) - 2 * x @ kept.T
        distances: NDArray[np.float64] = np.sqrt(np.maximum(squares.min(axis=1), 0))
        return distances

    def state(self) -> dict[str, Floats]:
        """The arrays that ``read_nearest`` takes back."""
        return dict(zip(NAMES, (self.mean, self.factor, self.vectors), strict=True))


def read_nearest(state: Mapping[str, Floats], where: str) -> Nearest:
    """Raises ModelError where an array is missing, or does not fit the others."""
    mean, factor, vectors = (state.get(name, np.empty(0)) for name in NAMES)
    if not all(np.isfinite(array).all() for array in (mean, factor, vectors)):
        what = "the vectors of the training rows hold NaN or infinity"
        raise ModelError(what, where=where, remedy="Copy the predictor's folder again")
    if vectors.ndim != 2 or not len(vectors) or {mean.shape, factor.shape} != {vectors.shape[1:]}:
        what = "the vectors of the training rows do not fit each other"
        raise ModelError(what, where=where, remedy="Copy the predictor's folder again")
    return Nearest(mean, factor, vectors)
