"""Leakage: what of the held-out parts of a store is in its other parts, as copies or as relatives.

Relatives are searched letter by letter. Units of several letters would all be spelled X, by which all
sequences would be alike: relatives of such sequences cannot be searched.
"""

from dataclasses import dataclass

import numpy as np
from biofm_datasets.arrays import Indices
from biofm_datasets.progress import OnStage
from biofm_datasets.sampling import permute
from biofm_datasets.sampling.permutation import key_of
from biofm_datasets.similarity import Similarity, find_similar
from biofm_datasets.splits import MAX_HELD_OUT_LENGTH, MIN_HELD_OUT_LENGTH, Spelling, SplitOptions
from biofm_datasets.store import Alphabet, Store
from numpy.typing import NDArray

from biofm.core.errors import OptionError

SEARCHED_TOKENS = 4_000_000
"""How many tokens of a part a sample is compared with, some seconds of work. Of a larger part some sequences
are drawn.
"""
PAIRS = (("validation", "train"), ("test", "train"), ("test", "validation"))
BY_RELATIVES = ("identity", "cluster")
"""The methods of a split that search relatives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """How much of a held-out ``part`` is in an ``other`` part.

    Of its ``n_sequences``, ``n_copies`` are there letter by letter. Of ``n_sampled`` of them, compared with
    ``n_searched`` of the ``n_other`` sequences there, ``n_related`` have a relative: an alignment over at
    least half of the shorter protein with at least 30 % of its columns identical.
    """

    part: str
    other: str
    n_sequences: int
    n_copies: int
    n_sampled: int
    n_related: int
    n_searched: int
    n_other: int

    @property
    def place(self) -> str:
        """The name of the other part in a sentence."""
        return "training" if self.other == "train" else self.other


def measure_leakage(store: Store, *, n_sampled: int, seed: int, progress: OnStage) -> tuple[Leakage, ...]:
    """Return the leakage between each two parts that hold sequences: all copies, and the relatives of
    ``n_sampled`` sequences, or of none where relatives cannot be searched.

    The search (``biofm_datasets.similarity.find_similar``) may miss a few relatives.
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


def has_letters(alphabet: Alphabet) -> bool:
    """Return whether every token that models are judged on is a single letter, so that relatives can be
    searched.
    """
    scored = (alphabet.tokens[number] for number in alphabet.scored)
    return all(len(token) == 1 and token.isascii() and token.isalpha() for token in scored)


def check_split(split: SplitOptions, alphabet: Alphabet) -> None:
    """Raise OptionError for a split by relatives of sequences whose relatives cannot be searched."""
    if split.method in BY_RELATIVES and not has_letters(alphabet):
        what = (
            f"{split.method} compares sequences letter by letter, and {alphabet.units} are not single letters"
        )
        raise OptionError(what, where="--split", remedy="Give random, column or group")


def _sample_fitting(store: Store, members: Indices, n: int, seed: int) -> Indices:
    """Return ``n`` random sequences, or all, of those whose length allows them to be held out."""
    n_residues = store.tokens.lengths(members) - Spelling(store.record.alphabet).n_around
    fits = (n_residues >= MIN_HELD_OUT_LENGTH) & (n_residues <= MAX_HELD_OUT_LENGTH)
    return _sample(members[fits], n, seed)


def _find_related(store: Store, sampled: Indices, others: list[str], progress: OnStage) -> NDArray[np.bool_]:
    """Return which of the sampled sequences have a relative among the others; empty if nothing is
    searched.
    """
    if not (len(sampled) and others):
        return np.zeros(0, np.bool_)
    spell = Spelling(store.record.alphabet)
    proteins = [spell(store.tokens[i]) for i in sampled]
    return find_similar(proteins, others, Similarity(), progress, of_held_out=True)


def _sample(members: Indices, n: int, seed: int) -> Indices:
    """Return ``n`` random members, or all."""
    if not len(members):
        return members
    return members[permute(np.arange(min(n, len(members))), len(members), key_of(seed))]


def _sample_tokens(store: Store, members: Indices, n_tokens: int, seed: int) -> Indices:
    """Return random members that hold at most ``n_tokens`` tokens together, or all."""
    mean = store.record.n_tokens / max(1, store.record.n_sequences)
    some = _sample(members, int(2 * n_tokens / mean) + 1, seed)
    return some[np.cumsum(store.tokens.lengths(some)) <= n_tokens]
