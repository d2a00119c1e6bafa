"""What of the held-out parts of a store is in training."""

from collections.abc import Callable

import numpy as np
from biofm_datasets.sampling import permute
from biofm_datasets.sampling.permutation import key_of
from biofm_datasets.split import MAX_HELD_OUT_LENGTH, MIN_HELD_OUT_LENGTH, Similarity, find_similar
from biofm_datasets.splits.identity import Spelling
from biofm_datasets.store import Store
from numpy.typing import NDArray

from biofm.evaluation.dataset.description import Leakage

SEARCHED_TOKENS = 4_000_000
"""Of training sequences that a sample is compared with: some seconds of work. Of more, some are drawn."""

Progress = Callable[[str, int, int], None]
Indices = NDArray[np.int64]


def measure_leakage(store: Store, *, n_sampled: int, seed: int, progress: Progress) -> tuple[Leakage, ...]:
    """For each part that holds something: copies in training, and relatives of ``n_sampled`` of its proteins.

    The search (``biofm_datasets.split.find_similar``) errs on the side of missing a few.
    """
    train = store.split["train"]
    train_hashes = np.unique(store.hashes[train])
    spell = Spelling(store.record.alphabet)
    searched = _sample_tokens(store, train, SEARCHED_TOKENS, seed) if n_sampled else train[:0]
    others = [spell(store.tokens[i]) for i in searched]
    found = []
    for part in ("validation", "test"):
        members = store.split[part]
        if not len(members):
            continue
        n_residues = store.tokens.lengths(members) - spell.n_around
        fits = (n_residues >= MIN_HELD_OUT_LENGTH) & (n_residues <= MAX_HELD_OUT_LENGTH)
        sampled = _sample(members[fits], n_sampled, seed)
        is_related = np.zeros(0, np.bool_)
        if len(sampled) and others:
            proteins = [spell(store.tokens[i]) for i in sampled]

            def report(stage: str, done: int, total: int, part: str = part) -> None:
                progress(f"{stage} for relatives of {part}", done, total)

            is_related = find_similar(proteins, others, Similarity(), report, of_held_out=True)
        leakage = Leakage(
            part=part,
            n_sequences=len(members),
            n_copies=int(np.isin(store.hashes[members], train_hashes).sum()),
            n_sampled=len(is_related),
            n_related=int(is_related.sum()),
            n_searched=len(others),
            n_train=len(train),
        )
        found.append(leakage)
    return tuple(found)


def _sample(members: Indices, n: int, seed: int) -> Indices:
    """``n`` of them at random, or all."""
    if not len(members):
        return members
    return members[permute(np.arange(min(n, len(members))), len(members), key_of(seed))]


def _sample_tokens(store: Store, members: Indices, n_tokens: int, seed: int) -> Indices:
    """At random as many as hold so many tokens, or all."""
    mean = store.record.n_tokens / max(1, store.record.n_sequences)
    some = _sample(members, int(2 * n_tokens / mean) + 1, seed)
    return some[np.cumsum(store.tokens.lengths(some)) <= n_tokens]
