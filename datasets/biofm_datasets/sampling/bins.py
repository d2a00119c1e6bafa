"""Packing: lengths into bins of a budget."""

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

_BIN_BITS = 32
_BIN = (1 << _BIN_BITS) - 1


def fill_bins(lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Places in ``lengths``, bin by bin; the lengths of a bin add up to at most ``budget``.

    Best fit, decreasing: the longest first, each into the fullest bin that has room for it (Johnson 1974,
    doi:10.1137/0203025). What is longer than the budget has a bin to itself.
    """
    order = np.argsort(-lengths, kind="stable")
    rooms: list[int] = []  # of each open bin its room << _BIN_BITS | its number, ascending
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
