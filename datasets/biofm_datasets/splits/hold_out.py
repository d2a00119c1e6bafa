"""Holding out by a keyed order of numbers: equals stay together, and the order of a file means nothing."""

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
    """One number for each sequence, read by slices; they need not be in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Hashes: ...


class Amounts(NamedTuple):
    """How much is held out: for each part a share below 1 or a number. ``seed`` orders what may be."""

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
    """Labels for numbers such as hashes of sequences: those of the lowest rank in the order of the seed are
    for the test, the next ones for validation.

    Equal numbers get the same label, so that there may be a few more than asked for. ``eligible`` says which
    of a slice can be held out, of which the amounts are shares, and ``free`` which of them still can. Memory
    is that of what is held out.

    Raises DataError: so many cannot be held out. ``things`` are what the message calls them.
    """
    n_eligible = sum(int(np.sum(eligible(part))) for part in blocks(len(keys))) if eligible else len(keys)
    n_test, n_validation = (amount_of(part, n_eligible) for part in (amounts.test, amounts.validation))
    n_both = n_test + n_validation

    def can(part: slice) -> Bools:
        found = np.ones(part.stop - part.start, np.bool_)
        for says in (eligible, free):
            found &= True if says is None else says(part)
        return found

    n_free = sum(int(np.sum(can(part))) for part in blocks(len(keys))) if free else n_eligible
    if n_both > n_free or n_both >= len(keys):
        what = f"{n_both:,} of {n_free:,} {things} cannot be held out"
        raise DataError(what, where="--validation, --test", remedy="Hold out fewer, or give more data")
    lowest = np.empty(0, np.uint64)
    for part in blocks(len(keys)):
        lowest = np.concatenate([lowest, _ranks(keys[part], amounts.seed)[can(part)]])
        lowest = np.partition(lowest, n_both - 1)[:n_both] if len(lowest) > n_both else lowest
    lowest.sort()
    labels = np.full(len(keys), TRAIN, np.uint8)
    for part in blocks(len(keys)):
        ranks, is_there = _ranks(keys[part], amounts.seed), can(part)
        for label, n in ((VALIDATION, n_both), (TEST, n_test)):
            if n:
                labels[part][(ranks <= lowest[n - 1]) & is_there] = label
    return labels


def hold_out_of_each(
    keys: Keys,
    sources: Mapping[str, slice],
    amounts: Amounts,
    things: str,
    eligible: Eligible | None = None,
    free: Eligible | None = None,
) -> PartLabels:
    """Labels as ``hold_out`` gives them, for each source by itself. A sequence that equals a held-out one of
    another source gets its label; the test comes before validation.

    Raises DataError as ``hold_out`` does, naming the source.
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
    """``says`` with places counted from ``first``."""
    return says and (lambda part: says(slice(part.start + first, part.stop + first)))


class _Section:
    """A slice of ``keys``, which need not be in memory, with places counted from its beginning."""

    def __init__(self, keys: Keys, section: slice) -> None:
        self._keys = keys
        self._first = int(section.start)
        self._n = int(section.stop) - self._first

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, part: slice, /) -> Hashes:
        return self._keys[slice(part.start + self._first, part.stop + self._first)]


def _label_copies(keys: Keys, labels: PartLabels, label: int) -> None:
    """Give this label to every sequence that equals one that has it."""
    of_label = (keys[part][labels[part] == label] for part in blocks(len(keys)))
    known = np.unique(np.concatenate([np.empty(0, np.uint64), *of_label]))
    for part in blocks(len(keys)):
        labels[part][np.isin(keys[part], known)] = label


def blocks(n: int) -> Iterator[slice]:
    """Slices of a range, so that its parts are worked on one after the other."""
    return (slice(begin, min(begin + BLOCK, n)) for begin in range(0, n, BLOCK))


def amount_of(amount: float, n: int) -> int:
    """A share of ``n``, at least one, or the number itself."""
    return max(1, round(amount * n)) if 0 < amount < 1 else int(amount)


def _ranks(keys: Hashes, seed: int) -> Hashes:
    return key_of(seed, keys.view(np.int64))
