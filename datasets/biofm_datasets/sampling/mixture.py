"""The endless stream of draws from one or several sources."""

from collections.abc import Sequence
from fractions import Fraction
from math import isfinite, lcm
from typing import Protocol

import numpy as np

from biofm_datasets.arrays import Indices
from biofm_datasets.errors import DataError
from biofm_datasets.sampling.permutation import key_of, permute


class Pool(Protocol):
    """The members of a source: an array, or something like one that is pickled as its place."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: Indices, /) -> Indices: ...


class Mixture:
    """Draws from ``pools``, the members of each source, in the shares of ``weights`` (None: by their sizes).

    Each source gives its members in epochs: every one once, in an order that depends on the seed, the source
    and the epoch; then every one again. Of the first t draws floor(t * share) are of a source, whatever the
    windows, so that a share is met to within one draw. Nothing of this is stored: any window is computed from
    its number.

    Raises DataError: no members at all, or a weight that is not positive or has no members to draw.
    """

    def __init__(self, pools: Sequence[Pool], weights: Sequence[float] | None, seed: int) -> None:
        self.pools = tuple(pools)
        self.seed = seed
        if not len(self):
            raise DataError("there are no sequences to draw", remedy="Give data, or hold out less of them")
        self._parts = [len(pool) for pool in self.pools] if weights is None else _whole(self.pools, weights)
        self._n_parts = sum(self._parts)

    def __len__(self) -> int:
        """How many members there are."""
        return sum(map(len, self.pools))

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of the draws that each source gives."""
        return tuple(part / self._n_parts for part in self._parts)

    def draw(self, window: int, n: int) -> Indices:
        """The members of window number ``window``, of ``n`` draws, source by source.

        With several sources a window may hold one draw less or more for each of them; windows in their order
        hold every draw once.
        """
        drawn = []
        for source, (pool, part) in enumerate(zip(self.pools, self._parts, strict=True)):
            first, last = (number * n * part // self._n_parts for number in (window, window + 1))
            if first < last:
                epochs, places = np.divmod(np.arange(first, last), len(pool))
                drawn.append(pool[permute(places, len(pool), key_of(self.seed, source, epochs))])
        return np.concatenate(drawn) if drawn else np.empty(0, np.int64)


def _whole(pools: Sequence[Pool], weights: Sequence[float]) -> list[int]:
    """Whole numbers in the proportions of the weights as they are written: 0.1 is a tenth."""
    assert len(weights) == len(pools), "one weight for each source"
    for number, (pool, weight) in enumerate(zip(pools, weights, strict=True), start=1):
        if not (isfinite(weight) and weight > 0):
            what = f"the weight of source {number} is {weight}"
            raise DataError(what, remedy="Give positive numbers, or leave the source out")
        if not len(pool):
            what = f"source {number} has no sequences to draw"
            raise DataError(what, remedy="Leave it out, or hold out less of it")
    exact = [Fraction(repr(float(weight))) for weight in weights]
    common = lcm(*(weight.denominator for weight in exact))
    return [int(weight * common) for weight in exact]
