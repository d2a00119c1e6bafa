"""What of the held-out parts of a store is in its other parts."""

import numpy as np
from biofm_datasets.arrays import Indices
from biofm_datasets.progress import OnStage
from biofm_datasets.sampling import permute
from biofm_datasets.sampling.permutation import key_of
from biofm_datasets.split import MAX_HELD_OUT_LENGTH, MIN_HELD_OUT_LENGTH, Similarity, find_similar
from biofm_datasets.splits.identity import Spelling
from biofm_datasets.store import Store
from numpy.typing import NDArray

from biofm.corpus.description import Leakage
from biofm.corpus.relatives import has_letters

SEARCHED_TOKENS = 4_000_000
"""Of the part that a sample is compared with: some seconds of work. Of more, some are drawn."""


PAIRS = (("validation", "train"), ("test", "train"), ("test", "validation"))


def measure_leakage(store: Store, *, n_sampled: int, seed: int, progress: OnStage) -> tuple[Leakage, ...]:
    """For each pair of parts that hold something: copies of the held-out one in the other, and relatives
    there of ``n_sampled`` of its sequences, or of none where relatives cannot be found.

    The search (``biofm_datasets.split.find_similar``) errs on the side of missing a few.
    """
    if not has_letters(store.record.alphabet):
        n_sampled = 0
    spell = Spelling(store.record.alphabet)
    searched: dict[str, tuple[Indices, list[str]]] = {}
    found = []
    for part, other in PAIRS:
        members, others = store.split[part], store.split[other]
        if not (len(members) and len(others)):
            continue
        if other not in searched:
            chosen = _sample_tokens(store, others, SEARCHED_TOKENS, seed) if n_sampled else others[:0]
            searched[other] = np.unique(store.hashes[others]), [spell(store.tokens[i]) for i in chosen]
        hashes, proteins = searched[other]

        def report(stage: str, done: int, total: int, part: str = part, other: str = other) -> None:
            progress(f"{stage} for relatives of {part} in {other}", done, total)

        is_related = _find_related(store, _sample_fitting(store, members, n_sampled, seed), proteins, report)
        leakage = Leakage(
            part=part,
            other=other,
            n_sequences=len(members),
            n_copies=int(np.isin(store.hashes[members], hashes).sum()),
            n_sampled=len(is_related),
            n_related=int(is_related.sum()),
            n_searched=len(proteins),
            n_other=len(others),
        )
        found.append(leakage)
    return tuple(found)


def _sample_fitting(store: Store, members: Indices, n: int, seed: int) -> Indices:
    """Some of those whose length lets them be held out."""
    n_residues = store.tokens.lengths(members) - Spelling(store.record.alphabet).n_around
    fits = (n_residues >= MIN_HELD_OUT_LENGTH) & (n_residues <= MAX_HELD_OUT_LENGTH)
    return _sample(members[fits], n, seed)


def _find_related(store: Store, sampled: Indices, others: list[str], progress: OnStage) -> NDArray[np.bool_]:
    """Which of the sampled have a relative among the others; nothing where nothing is searched."""
    if not (len(sampled) and others):
        return np.zeros(0, np.bool_)
    spell = Spelling(store.record.alphabet)
    proteins = [spell(store.tokens[i]) for i in sampled]
    return find_similar(proteins, others, Similarity(), progress, of_held_out=True)


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
