"""A held-out set that is honest: nothing in training resembles any protein of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.banded import Similarity, align_banded, score_near_seed
from biofm_datasets.seeds import Candidates, Residues, encode, find_candidates

MIN_HELD_OUT_LENGTH = 30
MAX_HELD_OUT_LENGTH = 1022
"""Lengths of held-out proteins in residues: each is long enough to judge and fits ESM-2's window whole."""

SEED_SCORE = 42
"""Ungapped BLOSUM62 score around a seed from which a pair is looked at more closely."""
MIN_SCORE = 60
"""Gapped BLOSUM62 score (gaps 11 + 1) below which an alignment counts as chance."""
HALF_BAND = 32
"""Gaps, in residues, that the first alignment of a pair follows."""
WIDE_HALF_BAND = 256
"""Gaps that the second one follows, for pairs that are alike enough but cover too little."""
UNGAPPED_PAIRS = 10_000
"""Pairs compared at once along their diagonal, to keep memory flat."""

Progress = Callable[[str, int, int], None]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Split:
    """Indices into the sequences that were split, each array sorted; together they are all of them."""

    train: Indices
    held_out: Indices
    removed: Indices


def split_by_identity(
    sequences: Sequence[str],
    groups: Sequence[str],
    *,
    n_held_out: Mapping[str, int],
    max_identity: float = 0.3,
    min_coverage: float = 0.5,
    seed: int = 0,
    progress: Progress | None = None,
) -> Split:
    """Hold out proteins at random and remove from training whatever is similar to any of them.

    ``groups[i]`` names the source of sequence i, and ``n_held_out`` says how many proteins of 30 to 1,022
    residues each source gives. Two sequences are similar when an alignment covers at least
    ``min_coverage`` of the shorter one with at least ``max_identity`` of its columns identical. Related
    proteins are found by spaced seeds (``biofm_datasets.seeds``) and confirmed along the seed's diagonal
    without gaps, else by a local alignment (BLOSUM62, gaps 11 + 1). Because only training sequences are
    removed, the promise holds for each held-out protein and no chain of relatives can break it.

    The seeds miss some of the pairs near 30 % identity; the data card says how many. The same arguments
    give the same split. ``progress`` is called with the stage, the work done and all the work.

    Raises ValueError when a source has too few proteins of that length.
    """
    assert len(sequences) == len(groups), "one group for each sequence"
    sequences = [sequence.upper() for sequence in sequences]
    held_out = _choose(sequences, groups, n_held_out, seed)
    rest = np.setdiff1d(np.arange(len(sequences)), held_out)
    queries = encode([sequences[i] for i in held_out])
    targets = encode([sequences[i] for i in rest])
    similarity = Similarity(min_identity=max_identity, min_coverage=min_coverage, min_score=MIN_SCORE)
    is_similar = _find_similar(queries, targets, similarity, progress or _silent)
    return Split(train=rest[~is_similar], held_out=held_out, removed=rest[is_similar])


def _silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


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


def _find_similar(
    queries: Residues, targets: Residues, similarity: Similarity, progress: Progress
) -> NDArray[np.bool_]:
    """Which targets are similar to any query: ever dearer looks at ever fewer pairs."""
    is_similar = np.zeros(len(targets.lengths), np.bool_)
    pairs = find_candidates(queries, targets, partial(progress, "searching"))
    for begin in range(0, len(pairs.target), UNGAPPED_PAIRS):
        now = pairs.take(slice(begin, begin + UNGAPPED_PAIRS))
        is_similar[now.target[_is_similar_ungapped(now, queries, targets, similarity)]] = True

    pairs = pairs.take(~is_similar[pairs.target])
    near = score_near_seed(pairs, queries, targets, partial(progress, "scoring"))
    order = np.lexsort((pairs.query, -near, pairs.target))
    pairs = pairs.take(order[near[order] >= MIN_SCORE])
    # The best pair of each target first: it settles most targets, whose other pairs need no alignment.
    is_best = np.diff(pairs.target, prepend=-1) != 0
    for number, now in enumerate((pairs.take(is_best), pairs.take(~is_best)), start=1):
        report = partial(progress, f"aligning, part {number} of 2")
        now = now.take(~is_similar[now.target])
        found = align_banded(now, queries, targets, similarity, half_band=HALF_BAND, progress=report)
        is_similar[now.target[found.is_similar]] = True
        wide = now.take(found.is_cut_short & ~is_similar[now.target])
        found = align_banded(wide, queries, targets, similarity, half_band=WIDE_HALF_BAND, progress=report)
        is_similar[wide.target[found.is_similar]] = True
    return is_similar


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
    n_identical = np.add.reduceat(query_codes == target_codes, first_column, dtype=np.int64)
    is_covered = n_columns >= similarity.min_coverage * np.minimum(query_length, target_length)
    return (n_identical >= similarity.min_identity * n_columns) & is_covered
