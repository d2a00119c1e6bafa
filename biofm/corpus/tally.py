"""One input counted, block by block: eight bytes for each sequence twice, and nothing of the sequences."""

import numpy as np
from biofm_datasets.store import Store
from numpy.typing import NDArray

BLOCK_TOKENS = 1 << 22


class Tally:
    """The lengths and hashes of sequences, and how often each token occurs."""

    def __init__(self, name: str, n_tokens: int) -> None:
        self.name = name
        self.counts = np.zeros(n_tokens, np.int64)
        self._lengths: list[NDArray[np.int64]] = []
        self._hashes: list[NDArray[np.uint64]] = []

    def add(
        self, tokens: NDArray[np.unsignedinteger], lengths: NDArray[np.int64], hashes: NDArray[np.uint64]
    ) -> None:
        self.counts += np.bincount(tokens, minlength=len(self.counts))
        self._lengths.append(lengths)
        self._hashes.append(hashes)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Of each sequence in tokens."""
        return np.concatenate([np.empty(0, np.int64), *self._lengths])

    @property
    def distinct(self) -> NDArray[np.uint64]:
        """The hashes of sequences that differ, ascending."""
        return np.unique(np.concatenate([np.empty(0, np.uint64), *self._hashes]))


def tally_store(store: Store) -> list[Tally]:
    """Each source of a store."""
    offsets, tallies = store.tokens.offsets, []
    for source in store.record.sources:
        tally = Tally(source.name, len(store.record.alphabet.tokens))
        first, end = source.first, source.first + source.n_sequences
        while first < end:
            block = int(np.searchsorted(offsets, offsets[first] + BLOCK_TOKENS))
            last = min(max(block, first + 1), end)
            tokens = store.tokens.tokens[offsets[first] : offsets[last]]
            tally.add(tokens, store.tokens.lengths(slice(first, last)), store.hashes[first:last])
            first = last
        tallies.append(tally)
    return tallies
