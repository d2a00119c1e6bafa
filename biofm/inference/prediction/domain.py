"""What a predictor has learned from, and whether a protein is like that.

Of rows like those of training, calibration holds what it promises; of others it promises nothing.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isinf

import numpy as np
from biofm_datasets.arrays import Floats

from biofm.evaluation import conformal_limit

Units = Sequence[str]
"""Of a sequence, each as it is spelled: its residues."""

LENGTH, LETTERS, DISTANCE = "length", "letters", "distance"
REASONS = (LENGTH, LETTERS, DISTANCE)

INSIDE = 0.95  # of rows like those of training lie nearer than the limit of the distance


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRows:
    """``n`` rows that train or validate: their ``shortest`` and ``longest`` in residues, and the ``letters``
    that stand in them, with blanks between them.
    """

    n: int
    shortest: int
    longest: int
    letters: str

    def __post_init__(self) -> None:
        are_counts = all(isinstance(it, int) for it in (self.n, self.shortest, self.longest))
        if not (are_counts and isinstance(self.letters, str)):
            raise ValueError("its training is not described by counts and letters")


def describe_training(rows: Sequence[Units]) -> TrainingRows:
    """Of the units of each row that trains or validates."""
    lengths, letters = [len(units) for units in rows], set[str]().union(*rows)
    return TrainingRows(
        n=len(rows), shortest=min(lengths), longest=max(lengths), letters=" ".join(sorted(letters))
    )


class Domain:
    """The limits of what is like training. ``distances``: of rows that did not train, ascending."""

    def __init__(self, training: TrainingRows, distances: Floats) -> None:
        self.training = training
        self.distances = distances
        self.n_calibrated = len(distances)
        self.limit = conformal_limit(distances, INSIDE)
        self._letters = set(training.letters.split(" "))

    def reasons(self, rows: Sequence[Units], distances: Floats | None) -> list[tuple[str, ...]]:
        """Of the units of each row, why it is out of the domain; nothing where it is inside."""
        found = np.zeros(len(rows)) if distances is None else distances
        return [self._of_one(*pair) for pair in zip(rows, found.tolist(), strict=True)]

    def usual(self, reason: str, n: int) -> tuple[float, float]:
        """How many of ``n`` rows like those of training have this reason: the mean and the standard
        deviation, where the rows that set the limits and the new ones could be exchanged. That share has a
        beta distribution, for each of the two ends of the lengths as for the quantile of the distances.
        """
        beyond, within = 2.0, max(1.0, self.training.n - 1.0)
        if reason == DISTANCE:
            within = float(ceil((self.n_calibrated + 1) * INSIDE))
            beyond = self.n_calibrated + 1 - within
        total = beyond + within
        share = beyond / total
        return n * share, (n * share * (1 - share) * (total + n) / (total + 1)) ** 0.5

    def tally(self, rows: Sequence[Units], distances: Floats | None) -> "DomainTally":
        """What the reasons of these come to."""
        found = DomainTally()
        found.add(self.reasons(rows, distances))
        return found

    @property
    def has_distance(self) -> bool:
        """Whether so many rows calibrated the distance that it can be judged."""
        return not isinf(self.limit)

    def _of_one(self, units: Units, distance: float) -> tuple[str, ...]:
        is_so = {
            LENGTH: not self.training.shortest <= len(units) <= self.training.longest,
            LETTERS: not set(units) <= self._letters,
            DISTANCE: distance > self.limit,
        }
        return tuple(reason for reason in REASONS if is_so[reason])


class DomainTally:
    """Rows counted by why they are out of a domain."""

    def __init__(self) -> None:
        self.n = self.n_outside = 0
        self.by_reason: Counter[str] = Counter()

    def add(self, found: Sequence[tuple[str, ...]]) -> None:
        self.n += len(found)
        self.n_outside += sum(map(bool, found))
        self.by_reason.update(reason for reasons in found for reason in reasons)

    def counts(self) -> dict[str, int]:
        """For a summary: rows, those outside, and those by each reason."""
        by_reason = {reason: self.by_reason[reason] for reason in REASONS}
        return {"rows": self.n, "out_of_domain": self.n_outside, **by_reason}
