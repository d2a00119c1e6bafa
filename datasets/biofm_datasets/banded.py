"""Gapped local alignments of many pairs at once, in a band around a seed's diagonal.

The recurrence is Gotoh's (1982, doi:10.1016/0022-2836(82)90398-9) with no score below 0. It runs row by row
for a batch of pairs together. Nothing is traced back: identities and columns are counted on the way, in the
lower bits of the score, so that the better alignment carries its own counts along.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.seeds import UNKNOWN, Candidates, Ints, Residues, substitution_scores

Cells = NDArray[np.signedinteger]
Progress = Callable[[int, int], None]

GAP_OPEN = 11
"""What the first residue of a gap costs, in BLOSUM62 units."""
GAP_EXTEND = 1
"""What each further residue of a gap costs."""
NEAR_FLANK = 80
"""Residues to either side of the seed that ``score_near_seed`` looks at."""
NEAR_HALF_BAND = 12
"""Diagonals to either side of the seed's own that ``score_near_seed`` looks at."""
CUT_SHORT_SCORE = 85
"""Score from which an alignment that covers too little is worth following over a longer gap."""
BATCH_CELLS = 1 << 14
"""Pairs times diagonals that are worked on together: few enough to stay in the processor's cache."""

_COUNT_BITS = 13
_COUNT_MASK = (1 << _COUNT_BITS) - 1
_SCORE_SHIFT = 2 * _COUNT_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """What an alignment must reach for its two sequences to count as similar."""

    min_identity: float
    """Identical columns over all columns, gaps included."""
    min_coverage: float
    """All columns over the residues of the shorter sequence."""
    min_score: int
    """BLOSUM62, gaps 11 + 1: what unrelated sequences hardly reach."""


@dataclass(frozen=True, slots=True)
class Alignments:
    """What is known of each pair once its band is filled."""

    is_similar: NDArray[np.bool_]
    """Some alignment in the band is similar enough."""
    is_cut_short: NDArray[np.bool_]
    """The best alignment is alike enough but covers too little: perhaps a long gap ended it."""


@dataclass(frozen=True, slots=True)
class _Weights:
    """What a column of each kind adds; ``match`` is a flat table at (query << 5) | target."""

    match: Cells
    gap_open: int
    gap_extend: int


def score_near_seed(
    pairs: Candidates, queries: Residues, targets: Residues, progress: Progress
) -> NDArray[np.int64]:
    """A quick lower bound of each pair's alignment score, from the residues and diagonals near its seed."""
    scores = np.zeros(len(pairs.target), np.int64)
    n_rows = 2 * NEAR_FLANK + 1
    weights = _Weights(_match_table().astype(np.int16), GAP_OPEN, GAP_EXTEND)
    for batch in _batches(len(scores), NEAR_HALF_BAND, progress):
        query = _windows(queries, pairs.query[batch], pairs.query_at[batch] - NEAR_FLANK, n_rows)
        first = pairs.target_at[batch] - NEAR_FLANK - NEAR_HALF_BAND
        target = _windows(targets, pairs.target[batch], first, n_rows + 2 * NEAR_HALF_BAND)
        best = np.zeros((len(query), 2 * NEAR_HALF_BAND + 1), np.int16)
        for cells in _fill_band(query, target, weights):
            np.maximum(best, cells, out=best)
        scores[batch] = best.max(axis=1)
    return scores


def align_banded(
    pairs: Candidates,
    queries: Residues,
    targets: Residues,
    similarity: Similarity,
    *,
    half_band: int,
    progress: Progress,
) -> Alignments:
    """Align each whole query along its seed's diagonal, following gaps of up to ``half_band`` residues.

    A pair is similar if the best alignment that ends at any one cell is, not only the best of all: the
    highest score often runs on into a stretch of few identities.
    """
    n_pairs = len(pairs.target)
    is_similar, is_cut_short = np.zeros(n_pairs, np.bool_), np.zeros(n_pairs, np.bool_)
    order = np.argsort(queries.lengths[pairs.query], kind="stable")
    weights = _counting_weights()
    for batch in _batches(n_pairs, half_band, progress):
        now = pairs.take(order[batch])
        query_from, n_rows = queries.starts[now.query], int(queries.lengths[now.query].max())
        target_from = now.target_at - now.query_at + query_from - half_band
        query = _windows(queries, now.query, query_from, n_rows)
        target = _windows(targets, now.target, target_from, n_rows + 2 * half_band)
        shorter = np.minimum(queries.lengths[now.query], targets.lengths[now.target])[:, None]
        best = np.zeros((len(query), 2 * half_band + 1), np.int64)
        is_met = np.zeros(len(query), np.bool_)
        for cells in _fill_band(query, target, weights):
            is_met |= _meets(cells, shorter, similarity).any(axis=1)
            np.maximum(best, cells, out=best)
        is_similar[order[batch]] = is_met
        is_cut_short[order[batch]] = _is_cut_short(best.max(axis=1), shorter[:, 0], similarity)
    return Alignments(is_similar, is_cut_short)


def _meets(cells: Cells, shorter: Ints, similarity: Similarity) -> NDArray[np.bool_]:
    score, n_identical, n_columns = _unpack(cells)
    return (
        (score >= similarity.min_score)
        & (n_identical >= similarity.min_identity * n_columns)
        & (n_columns >= similarity.min_coverage * shorter)
    )


def _is_cut_short(best: Cells, shorter: Ints, similarity: Similarity) -> NDArray[np.bool_]:
    score, n_identical, n_columns = _unpack(best)
    return (
        (score >= CUT_SHORT_SCORE)
        & (n_identical >= (similarity.min_identity - 0.05) * n_columns)
        & (n_columns < similarity.min_coverage * shorter)
    )


def _counting_weights() -> _Weights:
    """Score, identical columns and columns in one number: comparing two compares the scores first."""
    column = 1
    identity = np.zeros((32, 32), np.int64)
    np.fill_diagonal(identity[:UNKNOWN, :UNKNOWN], 1)
    return _Weights(
        (_match_table() << _SCORE_SHIFT) + (identity.ravel() << _COUNT_BITS) + column,
        (GAP_OPEN << _SCORE_SHIFT) - column,
        (GAP_EXTEND << _SCORE_SHIFT) - column,
    )


def _unpack(cells: Cells) -> tuple[Cells, Cells, Cells]:
    return cells >> _SCORE_SHIFT, (cells >> _COUNT_BITS) & _COUNT_MASK, cells & _COUNT_MASK


def _match_table() -> NDArray[np.int64]:
    table = np.full((32, 32), -8, np.int64)
    table[: UNKNOWN + 1, : UNKNOWN + 1] = substitution_scores()
    return table.ravel()


def _batches(n_pairs: int, half_band: int, progress: Progress) -> Iterator[slice]:
    size = max(BATCH_CELLS // (2 * half_band + 1), 1)
    for begin in range(0, n_pairs, size):
        yield slice(begin, begin + size)
        progress(min(begin + size, n_pairs), n_pairs)


def _windows(residues: Residues, sequence: Ints, begin: Ints, n: int) -> NDArray[np.uint8]:
    """``n`` residues from each place of the joined array; those outside the sequence named are unknown."""
    places = begin[:, None] + np.arange(n)
    first = residues.starts[sequence][:, None]
    is_inside = (places >= first) & (places < first + residues.lengths[sequence][:, None])
    return np.where(is_inside, residues.codes.take(places, mode="clip"), np.uint8(UNKNOWN))


def _fill_band(query: NDArray[np.uint8], target: NDArray[np.uint8], weights: _Weights) -> Iterator[Cells]:
    """Yield the cells (pairs, diagonals) row by row. Row i, diagonal j align query i with target i + j.

    From row to row a match stays at its j and a gap in the target comes from j + 1; within a row a gap in
    the query comes from a lower j.
    """
    n_pairs, n_rows = query.shape
    n_band = target.shape[1] - n_rows + 1
    query_part = query.astype(np.int16) << 5
    dtype = weights.match.dtype
    reach = np.arange(n_band, dtype=dtype) * weights.gap_extend
    cells = np.zeros((n_pairs, n_band + 1), dtype)  # one diagonal more than the band, where nothing aligns
    gap = np.full((n_pairs, n_band + 1), -weights.gap_open, dtype)
    for row in range(n_rows):
        pair = query_part[:, row, None] | target[:, row : row + n_band]
        here = cells[:, :-1] + weights.match.take(pair, mode="clip")
        gap[:, :-1] = np.maximum(cells[:, 1:] - weights.gap_open, gap[:, 1:] - weights.gap_extend)
        np.maximum(here, gap[:, :-1], out=here)
        np.maximum(here, 0, out=here)
        # A gap from k to j costs gap_open + (j - k - 1) * gap_extend: a running maximum of here + reach.
        along = np.maximum.accumulate(here + reach, axis=1)
        along += weights.gap_extend - weights.gap_open
        np.maximum(here[:, 1:], along[:, :-1] - reach[1:], out=here[:, 1:])
        cells[:, :-1] = here
        yield here
