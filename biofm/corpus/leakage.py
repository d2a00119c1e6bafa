"""Leakage: how much of the held-out parts of a store is also in its other parts, as copies or as relatives.

Relatives are searched letter by letter. Units that are not single letters cannot be searched: each would be
spelled X, so that all sequences would look alike.
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
"""The most tokens of a part that are searched, which takes some seconds. A larger part is sampled."""
PAIRS = (("validation", "train"), ("test", "train"), ("test", "validation"))
BY_RELATIVES = ("identity", "cluster")
"""Methods of a split that search relatives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """Counts the sequences of a held-out part that another part holds too.

    Attributes:
        part: Name of the held-out part.
        other: Name of the part that it is compared with.
        n_sequences: Number of sequences in the held-out part.
        n_copies: How many of them are in the other part letter by letter.
        n_sampled: Number of held-out sequences whose relatives were searched.
        n_related: How many of the sampled sequences have a relative in the other part: an alignment over at
            least half of the shorter protein, with at least 30 % identical columns.
        n_searched: Number of sequences of the other part that were searched.
        n_other: Number of sequences in the other part.
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
        """The word that stands for the other part in a sentence: "training" for train, else its name."""
        return "training" if self.other == "train" else self.other


def measure_leakage(store: Store, *, n_sampled: int, seed: int, progress: OnStage) -> tuple[Leakage, ...]:
    """Measure the leakage between every two parts that hold sequences. Copies are all counted; relatives are
    searched for a sample.

    The search (``biofm_datasets.similarity.find_similar``) may miss a few relatives.

    Args:
        store: The opened store, with its split.
        n_sampled: Number of held-out sequences of each part whose relatives are searched. None are if the
            units are not single letters.
        seed: Seed of the samples.
        progress: Called with the name of a stage, the work done and the whole work.
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
    """Return whether every unit that models are judged on is a single letter, so that relatives can be
    searched.

    Args:
        alphabet: Alphabet of the sequences.
    """
    scored = (alphabet.tokens[number] for number in alphabet.scored)
    return all(len(token) == 1 and token.isascii() and token.isalpha() for token in scored)


def check_split(split: SplitOptions, alphabet: Alphabet) -> None:
    """Raise OptionError if a split needs relatives, and these sequences cannot be searched for relatives."""
    if split.method in BY_RELATIVES and not has_letters(alphabet):
        what = (
            f"{split.method} compares sequences letter by letter, but {alphabet.units} are not single letters"
        )
        raise OptionError(what, where="--split", remedy="Give random, column or group")


def _sample_fitting(store: Store, members: Indices, n: int, seed: int) -> Indices:
    """Return at most ``n`` random members among those that are short and long enough to be held out."""
    n_residues = store.tokens.lengths(members) - Spelling(store.record.alphabet).n_around
    fits = (n_residues >= MIN_HELD_OUT_LENGTH) & (n_residues <= MAX_HELD_OUT_LENGTH)
    return _sample(members[fits], n, seed)


def _find_related(store: Store, sampled: Indices, others: list[str], progress: OnStage) -> NDArray[np.bool_]:
    """Return which of the sampled sequences have a relative among the others. The result is empty if there is
    nothing to search.
    """
    if not (len(sampled) and others):
        return np.zeros(0, np.bool_)
    spell = Spelling(store.record.alphabet)
    proteins = [spell(store.tokens[i]) for i in sampled]
    return find_similar(proteins, others, Similarity(), progress, of_held_out=True)


def _sample(members: Indices, n: int, seed: int) -> Indices:
    """Return ``n`` random members, or all if there are fewer."""
    if not len(members):
        return members
    return members[permute(np.arange(min(n, len(members))), len(members), key_of(seed))]


def _sample_tokens(store: Store, members: Indices, n_tokens: int, seed: int) -> Indices:
    """Return random members that hold at most ``n_tokens`` tokens together, or all if they hold fewer."""
    mean = store.record.n_tokens / max(1, store.record.n_sequences)
    some = _sample(members, int(2 * n_tokens / mean) + 1, seed)
    return some[np.cumsum(store.tokens.lengths(some)) <= n_tokens]
