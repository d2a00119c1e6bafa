"""Searches for similar proteins. Spaced seeds find pairs, which are compared along the diagonal of their seed
and then aligned with gaps. Each step costs more and has fewer pairs to compare.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from biofm_datasets.arrays import Bools, Indices
from biofm_datasets.progress import OnStage
from biofm_datasets.similarity.banded import align_banded, score_near_seed
from biofm_datasets.similarity.seeds import UNKNOWN, Candidates, Residues, encode, find_candidates

IDENTITY_MARGIN = 0.04
"""Pairs that miss the identity by this much or less are removed as well. Programs end alignments at different
residues: the same two proteins have 27 % identity by one and 31 % by another.
"""
MIN_SCORE = 60
"""BLOSUM62 score (gaps 11 + 1) below which an alignment counts as chance."""
HALF_BAND = 32
"""The longest gap, in residues, that the first alignment of a pair follows."""
WIDE_SCORE, WIDE_HALF_BAND = 85, 256
"""Pairs with this score that are identical enough but cover too little are aligned again with longer gaps."""
UNGAPPED_PAIRS = 10_000
"""The pairs that are compared at once along their diagonal, to keep memory flat."""


@dataclass(frozen=True, slots=True)
class Similarity:
    """Says when two proteins count as similar, by an alignment between them.

    Attributes:
        min_identity: The least share of the alignment's columns, gaps counted, that is identical.
        min_coverage: The least share of the shorter protein's residues that the alignment covers.
    """

    min_identity: float = 0.3
    min_coverage: float = 0.5

    def with_margin(self) -> "Similarity":
        """Return the same criterion with a lower identity, to remove doubtful pairs as well."""
        return Similarity(self.min_identity - IDENTITY_MARGIN, self.min_coverage)

    def is_alike(self, n_identical: Indices, n_columns: Indices) -> Bools:
        return n_identical >= self.min_identity * n_columns

    def is_covering(self, n_columns: Indices, shorter: Indices) -> Bools:
        return n_columns >= self.min_coverage * shorter


def find_similar(
    held_out: Sequence[str],
    others: Sequence[str],
    similarity: Similarity,
    progress: OnStage,
    *,
    of_held_out: bool = False,
) -> Bools:
    """Return which of the others are similar to any held-out protein. The others may be searched in parts.

    Args:
        held_out: The held-out proteins.
        others: The proteins to search.
        similarity: When two proteins are similar.
        progress: Called as the search advances.
        of_held_out: Whether to return which of the held-out proteins are similar to any of the others
            instead.
    """
    is_similar = np.zeros(len(held_out if of_held_out else others), np.bool_)

    def mark(query: Indices, target: Indices) -> None:
        is_similar[query if of_held_out else target] = True

    def is_open(query: Indices, target: Indices) -> Bools:
        return ~is_similar[query if of_held_out else target]

    find_pairs(held_out, others, similarity, progress, mark, is_open)
    return is_similar


def find_pairs(
    queries: Sequence[str],
    targets: Sequence[str],
    similarity: Similarity,
    progress: OnStage,
    mark: Callable[[Indices, Indices], None],
    is_open: Callable[[Indices, Indices], Bools],
) -> None:
    """Call ``mark`` with the places of similar queries and targets: each costlier step compares fewer pairs.

    Args:
        queries: The proteins to search for.
        targets: The proteins to search.
        similarity: When two proteins are similar.
        progress: Called as the search advances.
        mark: Called with the places of similar queries and targets, one pair at each position.
        is_open: Returns which pairs are still to be compared; earlier pairs have answered the others.
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
) -> Bools:
    """Return which pairs are similar along their seed's diagonal, without any gap."""
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
