"""Computes gapped local alignments of many pairs at once, in a band around a seed's diagonal.

The recurrence is Gotoh's (1982, doi:10.1016/0022-2836(82)90398-9) with no score below 0. It runs row by row
for a batch of pairs together. Nothing is traced back: identities and columns are counted on the way, in the
lower bits of the score, so that the better alignment carries its own counts along.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.arrays import Indices
from biofm_datasets.progress import OnStep
from biofm_datasets.similarity.seeds import UNKNOWN, Candidates, Residues, substitution_scores

Cells = NDArray[np.signedinteger]

GAP_OPEN = 11
"""The cost of the first residue of a gap, in BLOSUM62 units."""
GAP_EXTEND = 1
"""The cost of each further residue of a gap."""
NEAR_FLANK = 80
"""The residues on either side of the seed that ``score_near_seed`` aligns."""
NEAR_HALF_BAND = 12
"""The diagonals on either side of the seed's own that ``score_near_seed`` allows."""
BATCH_CELLS = 1 << 14
"""Pairs times diagonals of a batch: few enough to stay in the processor's cache."""

_COUNT_BITS = 13
_SCORE_SHIFT = 2 * _COUNT_BITS


@dataclass(frozen=True, slots=True)
class Alignments:
    """Holds the best-scoring alignment in the band of each pair. Gaps count as columns."""

    score: Indices
    n_identical: Indices
    n_columns: Indices


@dataclass(frozen=True, slots=True)
class _Weights:
    """Holds what a column of each kind adds; ``match`` is a flat table at (query << 5) | target."""

    match: Cells
    gap_open: int
    gap_extend: int


def score_near_seed(
    pairs: Candidates, queries: Residues, targets: Residues, progress: OnStep
) -> NDArray[np.int64]:
    """Return a quick lower bound of each pair's alignment score, from the residues and diagonals near its
    seed.
    """
    scores = np.zeros(len(pairs.target), np.int64)
    n_rows = 2 * NEAR_FLANK + 1
    weights = _Weights(_match_table().astype(np.int16), GAP_OPEN, GAP_EXTEND)
    for batch in _batches(len(scores), NEAR_HALF_BAND, progress):
        query = _windows(queries, pairs.query[batch], pairs.query_at[batch] - NEAR_FLANK, n_rows)
        first = pairs.target_at[batch] - NEAR_FLANK - NEAR_HALF_BAND
        target = _windows(targets, pairs.target[batch], first, n_rows + 2 * NEAR_HALF_BAND)
        scores[batch] = _best_in_band(query, target, weights)
    return scores


def align_banded(
    pairs: Candidates, queries: Residues, targets: Residues, half_band: int, progress: OnStep
) -> Alignments:
    """Align each whole query along its seed's diagonal, following gaps of up to ``half_band`` residues."""
    best = np.zeros(len(pairs.target), np.int64)
    order = np.argsort(queries.lengths[pairs.query], kind="stable")
    for batch in _batches(len(best), half_band, progress):
        now = pairs.take(order[batch])
        query_from, n_rows = queries.starts[now.query], int(queries.lengths[now.query].max())
        assert 2 * n_rows + 2 * half_band < 1 << _COUNT_BITS, "the columns would overflow into the identities"
        target_from = now.target_at - now.query_at + query_from - half_band
        query = _windows(queries, now.query, query_from, n_rows)
        target = _windows(targets, now.target, target_from, n_rows + 2 * half_band)
        best[order[batch]] = _best_in_band(query, target, _counting_weights())
    mask = (1 << _COUNT_BITS) - 1
    return Alignments(best >> _SCORE_SHIFT, (best >> _COUNT_BITS) & mask, best & mask)


def _counting_weights() -> _Weights:
    """Return weights that count the score, the identical columns and the columns in one number.

    To compare two of these numbers is to compare the scores first.
    """
    column = 1
    identity = np.zeros((32, 32), np.int64)
    np.fill_diagonal(identity[:UNKNOWN, :UNKNOWN], 1)
    return _Weights(
        (_match_table() << _SCORE_SHIFT) + (identity.ravel() << _COUNT_BITS) + column,
        (GAP_OPEN << _SCORE_SHIFT) - column,
        (GAP_EXTEND << _SCORE_SHIFT) - column,
    )


def _match_table() -> NDArray[np.int64]:
    table = np.full((32, 32), -8, np.int64)
    table[: UNKNOWN + 1, : UNKNOWN + 1] = substitution_scores()
    return table.ravel()


def _batches(n_pairs: int, half_band: int, progress: OnStep) -> Iterator[slice]:
    size = max(BATCH_CELLS // (2 * half_band + 1), 1)
    for begin in range(0, n_pairs, size):
        yield slice(begin, begin + size)
        progress(min(begin + size, n_pairs), n_pairs)


def _windows(residues: Residues, sequence: Indices, begin: Indices, n: int) -> NDArray[np.uint8]:
    """Return ``n`` residues from each place of the joined array; those outside the named sequence are
    unknown.
    """
    places = begin[:, None] + np.arange(n)
    first = residues.starts[sequence][:, None]
    is_inside = (places >= first) & (places < first + residues.lengths[sequence][:, None])
    return np.where(is_inside, residues.codes.take(places, mode="clip"), np.uint8(UNKNOWN))


def _best_in_band(query: NDArray[np.uint8], target: NDArray[np.uint8], weights: _Weights) -> Cells:
    """Return the best cell of each pair. Row i and diagonal j align residue i of the query with i + j of the
    target.

    From row to row a match stays at its j, and a gap in the target comes from j + 1. Within a row a gap in
    the query comes from a lower j.
    """
    n_pairs, n_rows = query.shape
    n_band = target.shape[1] - n_rows + 1
    query_part = query.astype(np.int16) << 5
    dtype = weights.match.dtype
    reach = np.arange(n_band, dtype=dtype) * weights.gap_extend
    cells = np.zeros((n_pairs, n_band + 1), dtype)  # one diagonal more than the band, where nothing aligns
    gap = np.full((n_pairs, n_band + 1), -weights.gap_open, dtype)
    best = np.zeros((n_pairs, n_band), dtype)
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
        np.maximum(best, here, out=best)
    highest: Cells = best.max(axis=1)
    return highest
