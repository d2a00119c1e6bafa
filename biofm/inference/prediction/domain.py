"""The domain of a predictor tells whether a new row is like the rows that it has learned from.

Intervals and probabilities are calibrated on rows like those of training; for other rows nobody knows how
good they are. A row is out of the domain by its length, by its letters, or by its distance to the nearest
training row.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isinf

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.core.errors import ModelError
from biofm.evaluation import conformal_limit

Units = Sequence[str]
"""The units of a sequence, such as its residues, each as it is written."""

LENGTH, LETTERS, DISTANCE = "length", "letters", "distance"
REASONS = (LENGTH, LETTERS, DISTANCE)

INSIDE = 0.95  # the share of rows like those of training that the limit of the distance lets pass

MOST_KEPT = 1000  # the most vectors of training rows that are kept: 5 MB at 1,280 dimensions
LEAST_SPREAD = 1e-7  # a dimension that varies less than this, relative to the largest, is left out
ROWS_AT_ONCE = 1024
NEAREST_ARRAYS = ("mean", "factor", "vectors")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """Describes the rows that a predictor was trained and validated with.

    Attributes:
        n: How many rows there are.
        shortest: Length of the shortest row in residues.
        longest: Length of the longest row in residues.
        letters: All letters in the rows, separated by blanks.

    Raises:
        ValueError: A value has another type, as a damaged file may hold.
    """

    n: int
    shortest: int
    longest: int
    letters: str

    def __post_init__(self) -> None:
        are_counts = all(isinstance(it, int) for it in (self.n, self.shortest, self.longest))
        if not (are_counts and isinstance(self.letters, str)):
            raise ValueError("the description of its training does not hold counts and letters")


def describe_training(rows: Sequence[Units]) -> TrainingRows:
    """Return a description of the rows of training and validation.

    Args:
        rows: The rows, each given by its units. There must be at least one.
    """
    lengths, letters = [len(units) for units in rows], set[str]().union(*rows)
    return TrainingRows(
        n=len(rows), shortest=min(lengths), longest=max(lengths), letters=" ".join(sorted(letters))
    )


class Domain:
    """Decides which rows are like those of training.

    Args:
        training: Describes the rows of training.
        distances: The distances of rows that did not train to the nearest row that did, in ascending order.
            They set the limit of the distance.
    """

    def __init__(self, training: TrainingRows, distances: Floats) -> None:
        self.training = training
        self.distances = distances
        self.n_calibrated = len(distances)
        self.limit = conformal_limit(distances, INSIDE)
        self._letters = set(training.letters.split(" "))

    def reasons(self, rows: Sequence[Units], distances: Floats | None) -> list[tuple[str, ...]]:
        """Return why each row is out of the domain; an empty tuple for a row that is inside.

        Args:
            rows: The rows, each given by its units.
            distances: The distance of each row to the nearest training row; None where it is unknown.
        """
        found = np.zeros(len(rows)) if distances is None else distances
        return [self._of_one(*pair) for pair in zip(rows, found.tolist(), strict=True)]

    def usual(self, reason: str, n: int) -> tuple[float, float]:
        """Compute how many rows are out of the domain by chance if all are like those of training.

        New rows and the rows that set the limits are taken to be exchangeable. The share beyond a limit then
        has a beta distribution, for the shortest and longest length as for the quantile of the distances.

        Args:
            reason: Why rows are out of the domain: "length" or "distance".
            n: How many rows there are.

        Returns:
            The mean and the standard deviation of their number.
        """
        beyond, within = 2.0, max(1.0, self.training.n - 1.0)
        if reason == DISTANCE:
            within = float(ceil((self.n_calibrated + 1) * INSIDE))
            beyond = self.n_calibrated + 1 - within
        total = beyond + within
        share = beyond / total
        return n * share, (n * share * (1 - share) * (total + n) / (total + 1)) ** 0.5

    def tally(self, rows: Sequence[Units], distances: Floats | None) -> "DomainTally":
        """Count rows by the reasons why they are out of the domain.

        Args:
            rows: The rows, each given by its units.
            distances: The distance of each row to the nearest training row; None where it is unknown.
        """
        found = DomainTally()
        found.add(self.reasons(rows, distances))
        return found

    @property
    def has_distance(self) -> bool:
        """Whether enough rows set the limit of the distance; with too few there is no limit."""
        return not isinf(self.limit)

    def _of_one(self, units: Units, distance: float) -> tuple[str, ...]:
        is_so = {
            LENGTH: not self.training.shortest <= len(units) <= self.training.longest,
            LETTERS: not set(units) <= self._letters,
            DISTANCE: distance > self.limit,
        }
        return tuple(reason for reason in REASONS if is_so[reason])


class DomainTally:
    """Counts rows: all of them, those out of the domain, and these by reason. A row can have several."""

    def __init__(self) -> None:
        self.n = self.n_outside = 0
        self.by_reason: Counter[str] = Counter()

    def add(self, found: Sequence[tuple[str, ...]]) -> None:
        """Count rows by their reasons.

        Args:
            found: The reasons of each row, as ``Domain.reasons`` returns them.
        """
        self.n += len(found)
        self.n_outside += sum(map(bool, found))
        self.by_reason.update(reason for reasons in found for reason in reasons)

    def counts(self) -> dict[str, int]:
        """Return the counts for a summary: all rows, those out of the domain, and those with each reason."""
        by_reason = {reason: self.by_reason[reason] for reason in REASONS}
        return {"rows": self.n, "out_of_domain": self.n_outside, **by_reason}


class Nearest:
    """Measures how far a row lies from the nearest training row, in the vectors that the heads read.

    The factor of a dimension is one over its standard deviation and over the square root of the number of
    dimensions that vary. A distance of 1 therefore means one standard deviation in every dimension.

    Args:
        mean: The mean vector of the training rows.
        factor: The factor of each dimension; 0 for one that does not vary.
        vectors: The vectors of training rows, minus ``mean``, times ``factor``.
    """

    def __init__(self, mean: Floats, factor: Floats, vectors: Floats) -> None:
        self.mean = mean
        self.factor = factor
        self.vectors = vectors

    @classmethod
    def of(cls, rows: Floats) -> "Nearest":
        """Compute the mean, the factors and the vectors from training rows.

        Args:
            rows: The vectors of the training rows.
        """
        values = rows.astype(np.float64)
        mean, spread = values.mean(axis=0), values.std(axis=0)
        is_varied = spread > LEAST_SPREAD * spread.max(initial=0)
        factor = np.divide(1, spread, out=np.zeros_like(spread), where=is_varied)
        factor /= max(1, is_varied.sum()) ** 0.5
        return cls(mean, factor, ((values - mean) * factor).astype(np.float32))

    def distances(self, rows: Floats) -> NDArray[np.float64]:
        """Compute the Euclidean distance of each row to the nearest training row.

        Args:
            rows: The vectors of the rows, as the heads read them.
        """
        parts = np.split(rows, range(ROWS_AT_ONCE, len(rows), ROWS_AT_ONCE))
        return np.concatenate([self._of_part(part) for part in parts])

    def _of_part(self, rows: Floats) -> NDArray[np.float64]:
        """Compute the distances of up to ``ROWS_AT_ONCE`` rows."""
        kept = self.vectors.astype(np.float64)
        x = (rows - self.mean) * self.factor
        squares = (x**2).sum(axis=1)[:, None] + (kept**2).sum(axis=1) - 2 * x @ kept.T
        distances: NDArray[np.float64] = np.sqrt(np.maximum(squares.min(axis=1), 0))
        return distances

    def state(self) -> dict[str, Floats]:
        """Return the arrays from which ``read_nearest`` restores this object."""
        return dict(zip(NEAREST_ARRAYS, (self.mean, self.factor, self.vectors), strict=True))


def read_nearest(state: Mapping[str, Floats], where: str) -> Nearest:
    """Restore a ``Nearest`` from its arrays, which were read from the file ``where``.

    Raise ModelError if an array is missing, is not finite, or does not fit the others.
    """
    mean, factor, vectors = (state.get(name, np.empty(0)) for name in NEAREST_ARRAYS)
    if not all(np.isfinite(array).all() for array in (mean, factor, vectors)):
        what = "the vectors of the training rows hold NaN or infinity"
        raise ModelError(what, where=where, remedy="Copy the predictor's folder again")
    if vectors.ndim != 2 or not len(vectors) or {mean.shape, factor.shape} != {vectors.shape[1:]}:
        what = "the vectors of the training rows do not fit each other"
        raise ModelError(what, where=where, remedy="Copy the predictor's folder again")
    return Nearest(mean, factor, vectors)
