"""Plans the batches of a training run, as lists of members, from any batch on."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple, Protocol

import numpy as np

from biofm_datasets.arrays import Indices
from biofm_datasets.sampling.mixture import Mixture
from biofm_datasets.sampling.permutation import key_of, permute

N_BINS = 64
"""The approximate number of bins of a stretch: few enough to plan at once, and so many that the last bin,
which stays half-empty, wastes little.
"""
N_SAMPLED = 4096
"""The number of draws from which the mean length is estimated."""

_BIN_BITS = 32
_BIN = (1 << _BIN_BITS) - 1


class Lengths(Protocol):
    """Knows the lengths of the sequences, as a ``TokenStore`` does."""

    def lengths(self, members: Indices) -> Indices:
        """Return the number of tokens of each member."""


class Cursor(NamedTuple):
    """Says where a bin is in a plan. The place after the last bin of a stretch is the first of the next
    stretch.

    Attributes:
        stretch: The number of the stretch, from 0.
        bin: The number of the bin in its stretch, from 0.
    """

    stretch: int
    bin: int


class Plan:
    """Packs members of a mixture into bins of at most ``budget`` tokens, in a shuffled order.

    The stream of draws is cut into stretches, each of which is packed by itself. So a bin follows from its
    cursor alone, and no draw is repeated or dropped.

    Args:
        mixture: Draws the members.
        store: Knows their lengths.
        budget: The most tokens of a bin.
        max_length: Tokens that a longer member counts as, because it is cropped to this length.
        seed: Seed of the order of the bins.
    """

    def __init__(self, mixture: Mixture, store: Lengths, *, budget: int, max_length: int, seed: int) -> None:
        self.mixture = mixture
        self.store = store
        self.budget = budget
        self.max_length = max_length
        self.seed = seed
        self.n_draws = self._n_draws()

    def bins(self, start: Cursor = Cursor(0, 0)) -> Iterator[tuple[Cursor, Indices]]:  # noqa: B008  # immutable
        """Yield each bin without end: its place and its members.

        Args:
            start: The place of the first bin.
        """
        first = start.bin
        for stretch in count(start.stretch):
            bins = self._stretch(stretch)
            for place in range(first, len(bins)):
                yield Cursor(stretch, place), bins[place]
            first = 0

    def _stretch(self, stretch: int) -> list[Indices]:
        members = self.mixture.draw(stretch, self.n_draws)
        bins = fill_bins(self._lengths(members), self.budget)
        if not bins:
            return []
        order = permute(np.arange(len(bins)), len(bins), key_of(self.seed, stretch))
        return [members[bins[i]] for i in order]

    def _lengths(self, members: Indices) -> Indices:
        return np.minimum(self.store.lengths(members), self.max_length)

    def _n_draws(self) -> int:
        """Return the draws of a stretch: enough for about N_BINS bins, at most one of each member."""
        sampled = self._lengths(self.mixture.draw(0, N_SAMPLED))
        n_tokens = max(1, int(sampled.sum()))
        return min(len(self.mixture), max(1, N_BINS * self.budget * len(sampled) // n_tokens))


def fill_bins(lengths: Indices, budget: int) -> list[Indices]:
    """Return bins of places in ``lengths``; the lengths of a bin add up to at most ``budget``.

    Best fit, decreasing: the longest comes first, and each goes into the fullest bin that has room for it
    (Johnson 1974, doi:10.1137/0203025). A length above the budget has a bin to itself.

    Args:
        lengths: The lengths to pack, in tokens.
        budget: The most tokens of a bin.
    """
    order = np.argsort(-lengths, kind="stable")
    rooms: list[int] = []  # for each open bin: its room << _BIN_BITS | its number, ascending
    bins: list[list[int]] = []
    for place, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        at = bisect_left(rooms, length << _BIN_BITS)
        if at < len(rooms):
            fit = rooms.pop(at)
            bins[fit & _BIN].append(place)
            insort(rooms, fit - (length << _BIN_BITS))
        else:
            if length < budget:
                insort(rooms, (budget - length) << _BIN_BITS | len(bins))
            bins.append([place])
    return [np.array(places, np.int64) for places in bins]
