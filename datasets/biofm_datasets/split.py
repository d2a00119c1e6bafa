"""A held-out set that is honest: nothing in training resembles any protein of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.arrays import Indices
from biofm_datasets.banded import align_banded, score_near_seed
from biofm_datasets.progress import OnStage
from biofm_datasets.seeds import UNKNOWN, Candidates, Residues, encode, find_candidates

MIN_HELD_OUT_LENGTH = 30
MAX_HELD_OUT_LENGTH = 1022
"""Lengths of held-out proteins in residues: each is long enough to judge and fits ESM-2's window whole."""

IDENTITY_MARGIN = 0.04
"""Pairs that miss the identity by no more than this are removed too. Where an alignment ends is the program's
choice: the same two proteins have 27 % by one and 31 % by another."""
MIN_SCORE = 60
"""BLOSUM62 score (gaps 11 + 1) below which an alignment counts as chance."""
HALF_BAND = 32
"""The longest gap, in residues, that the first alignment of a pair follows."""
WIDE_SCORE, WIDE_HALF_BAND = 85, 256
"""Pairs that score this much and are alike enough but cover too little are aligned again with longer gaps."""
UNGAPPED_PAIRS = 10_000
"""Pairs compared at once along their diagonal, to keep memory flat."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into the sequences that were split, each array sorted; together they are all of them."""

    train: Indices
    held_out: Indices
    removed: Indices


@dataclass(frozen=True, slots=True)
class Similarity:
    """What an alignment of two proteins must reach for them to count as similar: identical columns of all its
    columns, gaps counted, and columns of the shorter protein.
    """

    min_identity: float = 0.3
    min_coverage: float = 0.5

    def with_margin(self) -> "Similarity":
        """What is removed to be sure."""
        return Similarity(self.min_identity - IDENTITY_MARGIN, self.min_coverage)

    def is_alike(self, n_identical: Indices, n_columns: Indices) -> NDArray[np.bool_]:
        return n_identical >= self.min_identity * n_columns

    def is_covering(self, n_columns: Indices, shorter: Indices) -> NDArray[np.bool_]:
        return n_columns >= self.min_coverage * shorter


def split_by_identity(
    sequences: Sequence[str],
    groups: Sequence[str],
    *,
    n_held_out: Mapping[str, int],
    max_identity: float = 0.3,
    min_coverage: float = 0.5,
    seed: int = 0,
    progress: OnStage | None = None,
) -> Split:
    """Hold out proteins at random and remove from training whatever is similar to any of them.

    ``sequences`` are as ``clean_protein`` leaves them. ``groups[i]`` names the source of sequence i, and
    ``n_held_out`` says how many proteins of 30 to 1,022 residues each source gives. Two proteins are similar
    when an alignment covers at least ``min_coverage`` of the shorter one with at least ``max_identity`` of
    its columns identical, gaps counted as columns.
    Because only training sequences are removed, the promise holds for each held-out protein, and no chain
    of relatives can break it. Held-out proteins may resemble each other.

    Relatives are found by spaced seeds (``biofm_datasets.seeds``), then compared along the seed's diagonal,
    then aligned with gaps (``biofm_datasets.banded``). All three err on the side of removing: see
    IDENTITY_MARGIN. The seeds still miss a few distant or very short relatives; the data cards say how many.

    The same arguments give the same split. ``progress`` is called with the stage, what is done, and all that
    is to do. 25 million residues and 1,500 held-out proteins take minutes on one core.

    Raises ValueError when a source has too few proteins of that length.
    """
    assert len(sequences) == len(groups), "one group for each sequence"
    held_out = _choose(sequences, groups, n_held_out, seed)
    rest = np.setdiff1d(np.arange(len(sequences)), held_out)
    is_similar = find_similar(
        [sequences[i] for i in held_out],
        [sequences[i] for i in rest],
        Similarity(max_identity, min_coverage).with_margin(),
        progress or _silent,
    )
    return Split(train=rest[~is_similar], held_out=held_out, removed=rest[is_similar])


def _silent(stage: str, done: int, total: int) -> None:
    """OnStage that nobody watches."""


def _choose(
    sequences: Sequence[str], groups: Sequence[str], n_held_out: Mapping[str, int], seed: int
) -> Indices:
    generator = np.random.default_rng(seed)
    lengths = np.array([len(sequence) for sequence in sequences])
    is_eligible = (lengths >= MIN_HELD_OUT_LENGTH) & (lengths <= MAX_HELD_OUT_LENGTH)
    names = np.array(groups)
    chosen = []
    for group, n_wanted in sorted(n_held_out.items()):
        pool = np.flatnonzero(is_eligible & (names == group))
        if len(pool) < n_wanted:
            raise ValueError(
                f"group {group!r} has {len(pool)} proteins of 30 to 1,022 residues, not {n_wanted}"
            )
        chosen.append(generator.choice(pool, n_wanted, replace=False))
    return np.sort(np.concatenate(chosen)).astype(np.int64)


def find_similar(
    held_out: Sequence[str],
    others: Sequence[str],
    similarity: Similarity,
    progress: OnStage,
    *,
    of_held_out: bool = False,
) -> NDArray[np.bool_]:
    """Which others are similar to any held-out protein, or with ``of_held_out`` which of these to any other.
    Others may be searched in parts.
    """
    is_similar = np.zeros(len(held_out if of_held_out else others), np.bool_)

    def mark(query: Indices, target: Indices) -> None:
        is_similar[query if of_held_out else target] = True

    def is_open(query: Indices, target: Indices) -> NDArray[np.bool_]:
        return ~is_similar[query if of_held_out else target]

    find_pairs(held_out, others, similarity, progress, mark, is_open)
    return is_similar


def find_pairs(
    queries: Sequence[str],
    targets: Sequence[str],
    similarity: Similarity,
    progress: OnStage,
    mark: Callable[[Indices, Indices], None],
    is_open: Callable[[Indices, Indices], NDArray[np.bool_]],
) -> None:
    """Call ``mark`` with the places of similar queries and targets: ever dearer looks at ever fewer pairs.
    What ``is_open`` denies, because those before have answered it, is not looked at.
    """
    of_queries, of_targets = encode(queries), encode(targets)
    pairs = find_candidates(of_queries, of_targets, partial(progress, "searching"))
    pairs = pairs.take(is_open(pairs.query, pairs.target))
    for begin in range(0, len(pairs.target), UNGAPPED_PAIRS):
        some = pairs.take(slice(begin, begin + UNGAPPED_PAIRS))
        some = some.take(_is_similar_ungapped(some, of_queries, of_targets, similarity))
        mark(some.query, some.target)
    pairs = pairs.take(is_open(pairs.query, pairs.target))
    scores = score_near_seed(pairs, of_queries, of_targets, partial(progress, "scoring"))
    pairs = pairs.take(scores >= MIN_SCORE)
    for half_band in (HALF_BAND, WIDE_HALF_BAND):
        found = align_banded(pairs, of_queries, of_targets, half_band, partial(progress, "aligning"))
        shorter = np.minimum(of_queries.lengths[pairs.query], of_targets.lengths[pairs.target])
        is_alike = similarity.is_alike(found.n_identical, found.n_columns)
        is_covering = similarity.is_covering(found.n_columns, shorter)
        similar = pairs.take(is_alike & is_covering)
        mark(similar.query, similar.target)
        is_cut_short = is_alike & ~is_covering & (found.score >= WIDE_SCORE)
        pairs = pairs.take(is_cut_short & is_open(pairs.query, pairs.target))


def _is_similar_ungapped(
    pairs: Candidates, queries: Residues, targets: Residues, similarity: Similarity
) -> NDArray[np.bool_]:
    """Which pairs are similar where they overlap on their seed's diagonal, with no gap at all."""
    query_from = pairs.query_at - queries.starts[pairs.query]
    target_from = pairs.target_at - targets.starts[pairs.target]
    n_before = np.minimum(query_from, target_from)
    query_length, target_length = queries.lengths[pairs.query], targets.lengths[pairs.target]
    n_columns = n_before + np.minimum(query_length - query_from, target_length - target_from)
    first_column = np.cumsum(n_columns) - n_columns
    column = np.arange(n_columns.sum()) - np.repeat(first_column + n_before, n_columns)
    query_codes = queries.codes[np.repeat(pairs.query_at, n_columns) + column]
    target_codes = targets.codes[np.repeat(pairs.target_at, n_columns) + column]
    is_identical = (query_codes == target_codes) & (query_codes != UNKNOWN)
    n_identical = np.add.reduceat(is_identical, first_column, dtype=np.int64)
    is_covering = similarity.is_covering(n_columns, np.minimum(query_length, target_length))
    return similarity.is_alike(n_identical, n_columns) & is_covering
