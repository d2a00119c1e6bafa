"""Holds out sequences by a keyed order of their hashes. Copies stay together, in any order of the file."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.arrays import Bools, Hashes
from biofm_datasets.errors import DataError
from biofm_datasets.sampling.permutation import key_of
from biofm_datasets.store.files import TEST, TRAIN, VALIDATION

BLOCK = 1 << 16

PartLabels = NDArray[np.uint8]
Eligible = Callable[[slice], Bools]


class Keys(Protocol):
    """Holds one number for each sequence, read by slices; the numbers need not be in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, block: slice, /) -> Hashes: ...


class TooFewError(DataError):
    """Says that there are fewer sequences than shall be held out.

    Args:
        what: The fault.
        n_free: How many sequences could be held out.
    """

    def __init__(self, what: str, n_free: int) -> None:
        self.n_free = n_free
        remedy = "Hold out fewer, or give more data"
        super().__init__(what, where="--validation, --test", remedy=remedy)


class Amounts(NamedTuple):
    """Says how much is held out for each part: a share below 1, or a number. ``seed`` decides the order."""

    validation: float
    test: float
    seed: int


def hold_out(
    keys: Keys,
    amounts: Amounts,
    things: str,
    eligible: Eligible | None = None,
    free: Eligible | None = None,
) -> PartLabels:
    """Label sequences by their numbers: the lowest in the order of the seed for the test, the next for
    validation.

    Equal numbers get the same label, so a few more than asked for may be held out. Only the numbers of
    held-out sequences are in memory.

    Args:
        keys: A number for each sequence, such as its hash.
        amounts: How much is held out, and the seed.
        things: What messages call the sequences.
        eligible: Returns which of a slice can be held out; shares are shares of these. None takes all.
        free: Returns which of a slice are not in another part yet. None takes all.

    Raises:
        TooFewError: So many cannot be held out.
    """
    n_eligible = sum(int(np.sum(eligible(block))) for block in blocks(len(keys))) if eligible else len(keys)
    n_test, n_validation = (amount_of(amount, n_eligible) for amount in (amounts.test, amounts.validation))
    n_both = n_test + n_validation

    def can(block: slice) -> Bools:
        found = np.ones(block.stop - block.start, np.bool_)
        for says in (eligible, free):
            found &= True if says is None else says(block)
        return found

    n_free = sum(int(np.sum(can(block))) for block in blocks(len(keys))) if free else n_eligible
    if n_both > n_free or n_both >= len(keys):
        what = f"{n_both:,} of {n_free:,} {things} cannot be held out"
        raise TooFewError(what, n_free)
    lowest = np.empty(0, np.uint64)
    for block in blocks(len(keys)):
        lowest = np.concatenate([lowest, _ranks(keys[block], amounts.seed)[can(block)]])
        lowest = np.partition(lowest, n_both - 1)[:n_both] if len(lowest) > n_both else lowest
    lowest.sort()
    labels = np.full(len(keys), TRAIN, np.uint8)
    for block in blocks(len(keys)):
        ranks, is_there = _ranks(keys[block], amounts.seed), can(block)
        for label, n in ((VALIDATION, n_both), (TEST, n_test)):
            if n:
                labels[block][(ranks <= lowest[n - 1]) & is_there] = label
    return labels


def hold_out_of_each(
    keys: Keys,
    sources: Mapping[str, slice],
    amounts: Amounts,
    things: str,
    eligible: Eligible | None = None,
    free: Eligible | None = None,
) -> PartLabels:
    """Label sequences as ``hold_out`` does, for each source by itself.

    A sequence that equals a held-out sequence of another source gets the same label; the test comes before
    validation.

    Raises:
        DataError: So many cannot be held out of a source; the message names the source.
    """
    labels = np.full(len(keys), TRAIN, np.uint8)
    for name, source in sources.items():
        of_source = (_shifted(says, source.start) for says in (eligible, free))
        named = f"{things} in {name}" if len(sources) > 1 else things
        labels[source] = hold_out(_Section(keys, source), amounts, named, *of_source)
    if len(sources) > 1:
        for label in (VALIDATION, TEST):
            _label_copies(keys, labels, label)
    return labels


def _shifted(says: Eligible | None, first: int) -> Eligible | None:
    """Return the function with its places counted from ``first``."""
    return says and (lambda block: says(slice(block.start + first, block.stop + first)))


class _Section:
    """Shows a slice of ``keys``, which need not be in memory, with places counted from its beginning."""

    def __init__(self, keys: Keys, section: slice) -> None:
        self._keys = keys
        self._first = int(section.start)
        self._n = int(section.stop) - self._first

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, block: slice, /) -> Hashes:
        return self._keys[slice(block.start + self._first, block.stop + self._first)]


def _label_copies(keys: Keys, labels: PartLabels, label: int) -> None:
    """Give this label to every sequence that equals one with the label."""
    of_label = (keys[block][labels[block] == label] for block in blocks(len(keys)))
    known = np.unique(np.concatenate([np.empty(0, np.uint64), *of_label]))
    for block in blocks(len(keys)):
        labels[block][np.isin(keys[block], known)] = label


def blocks(n: int) -> Iterator[slice]:
    """Return slices that divide a range, which can be processed one after the other."""
    return (slice(begin, min(begin + BLOCK, n)) for begin in range(0, n, BLOCK))


def amount_of(amount: float, n: int) -> int:
    """Return the number that an amount stands for: a share of ``n``, but at least 1, or the amount itself."""
    return max(1, round(amount * n)) if 0 < amount < 1 else int(amount)


def _ranks(keys: Hashes, seed: int) -> Hashes:
    return key_of(seed, keys.view(np.int64))
