"""Shuffled orders that are computed and never stored: the place of any element, in constant memory.

The permutation is a Feistel network over the pairs (left, right) of two short ranges, whose product is hardly
more than the range to shuffle. A place outside the range is permuted again until it is inside (Black and
Rogaway 2002, doi:10.1007/3-540-45760-7_9). The rounds take their numbers from the mixer of SplitMix64
(Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195). All arithmetic is in whole numbers, so every
machine and every version of numpy computes the same order.
"""

from math import isqrt

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

N_ROUNDS = 8
"""The number of rounds, each of which moves both sides once. With eight, all orders of up to six elements are
equally frequent; with four, some are far too frequent.
"""

_GOLDEN, _MIX_1, _MIX_2 = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_30, _27, _31, _32 = (np.uint64(n) for n in (30, 27, 31, 32))
_ALL_BITS = (1 << 64) - 1


def permute(places: NDArray[np.int64], n: int, keys: Words) -> NDArray[np.int64]:
    """Return the places to which shuffling ``range(n)`` moves these places.

    Args:
        places: Places in ``range(n)``.
        n: The number of elements that are shuffled.
        keys: The key of the order, from ``key_of``: one for each place, or one for all.
    """
    assert n >= 1, "there is nothing to order"
    n_left = isqrt(n - 1) + 1  # the square root, rounded up
    n_right = -(-n // n_left)
    found = places.astype(np.uint64)
    keys = np.broadcast_to(keys, found.shape)
    outside = np.arange(len(found))
    while len(outside):
        walked = _walk(found[outside], np.uint64(n_left), np.uint64(n_right), keys[outside])
        found[outside] = walked
        outside = outside[walked >= n]
    return found.astype(np.int64)


def key_of(*parts: int | NDArray[np.int64]) -> Words:
    """Return keys from whole numbers (a seed, a source, an epoch), any of which may be an array.

    Only the last 64 bits of a large number count.
    """
    key = np.zeros(1, np.uint64)
    for part in parts:
        words = np.uint64(part & _ALL_BITS) if isinstance(part, int) else part.astype(np.uint64)
        key = _mix(key + _GOLDEN ^ words)
    return key


def _walk(places: Words, n_left: np.uint64, n_right: np.uint64, keys: Words) -> Words:
    """Compute one step of the permutation of ``range(n_left * n_right)``."""
    left, right = np.divmod(places, n_right)
    for _ in range(N_ROUNDS):
        keys = keys + _GOLDEN
        left = (left + _scaled(_mix(keys ^ right), n_left)) % n_left
        keys = keys + _GOLDEN
        right = (right + _scaled(_mix(keys ^ left), n_right)) % n_right
    return left * n_right + right


def _scaled(words: Words, n: np.uint64) -> Words:
    """Return numbers below ``n`` from the upper halves of random words."""
    return (words >> _32) * n >> _32


def _mix(words: Words) -> Words:
    words = (words ^ words >> _30) * _MIX_1
    words = (words ^ words >> _27) * _MIX_2
    return words ^ words >> _31
