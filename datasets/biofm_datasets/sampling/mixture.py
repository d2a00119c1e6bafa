"""Draws sequences without end from one or several sources."""

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite, lcm
from typing import Protocol

import numpy as np

from biofm_datasets.arrays import Indices
from biofm_datasets.errors import DataError
from biofm_datasets.sampling.permutation import key_of, permute


class Pool(Protocol):
    """Holds the members of a source: an array, or an object like one that is pickled as its place."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: Indices, /) -> Indices: ...


class Mixture:
    """Draws members from several sources, in fixed shares.

    Each source yields its members in epochs: every member once, in an order that depends on the seed, the
    source and the epoch; then every member again. Of the first t draws floor(t * share) come from a source,
    whatever the size of the stretches, so the share is right to within one draw. Nothing of this is stored: a
    stretch, which is the draws that are asked for at once, is computed from its number.

    Args:
        pools: The members of each source.
        weights: The relative shares of the sources, as positive numbers. None takes their sizes.
        seed: Seed of the order.

    Raises:
        DataError: There are no members at all, or a weight is not positive or belongs to a source without
            members.
    """

    def __init__(self, pools: Sequence[Pool], weights: Sequence[float] | None, seed: int) -> None:
        self.pools = tuple(pools)
        self.seed = seed
        if not len(self):
            remedy = "Give more data, or hold out fewer sequences"
            raise DataError("there are no sequences to draw", remedy=remedy)
        self._weights = [len(pool) for pool in self.pools] if weights is None else _whole(self.pools, weights)
        self._total = sum(self._weights)

    def __len__(self) -> int:
        """Return the number of members."""
        return sum(map(len, self.pools))

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the draws that each source has."""
        return tuple(weight / self._total for weight in self._weights)

    def draw(self, stretch: int, n: int) -> Indices:
        """Return the members of a stretch, source by source.

        With several sources a stretch may hold one draw more or less of each; all stretches together hold
        every draw once.

        Args:
            stretch: The number of the stretch, from 0.
            n: The number of draws of a stretch.
        """
        drawn = []
        for source, (pool, weight) in enumerate(zip(self.pools, self._weights, strict=True)):
            first, last = (number * n * weight // self._total for number in (stretch, stretch + 1))
            if first < last:
                epochs, places = np.divmod(np.arange(first, last), len(pool))
                drawn.append(pool[permute(places, len(pool), key_of(self.seed, source, epochs))])
        return np.concatenate(drawn) if drawn else np.empty(0, np.int64)


def _whole(pools: Sequence[Pool], weights: Sequence[float]) -> list[int]:
    """Return whole numbers in the proportions of the weights as they are written: 0.1 is a tenth."""
    assert len(weights) == len(pools), "one weight for each source"
    for number, (pool, weight) in enumerate(zip(pools, weights, strict=True), start=1):
        if not (isfinite(weight) and weight > 0):
            what = f"the weight of source {number} is {weight}"
            raise DataError(what, remedy="Give positive numbers, or leave the source out")
        if not len(pool):
            what = f"source {number} has no sequences to draw"
            raise DataError(what, remedy="Leave it out, or hold out fewer of its sequences")
    exact = [Fraction(repr(float(weight))) for weight in weights]
    common = lcm(*(weight.denominator for weight in exact))
    return [int(weight * common) for weight in exact]
