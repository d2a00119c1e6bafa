"""Holds out proteins in memory: no sequence that stays in training resembles any of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biofm_datasets.arrays import Indices
from biofm_datasets.progress import OnStage, no_progress
from biofm_datasets.similarity import Similarity, find_similar
from biofm_datasets.splits.relatives import MAX_HELD_OUT_LENGTH, MIN_HELD_OUT_LENGTH
from biofm_datasets.text import format_count


@dataclass(frozen=True, slots=True)
class Split:
    """Holds the parts of a split as sorted indices into the sequences; together they are all sequences.

    Attributes:
        train: The sequences to train on.
        held_out: The held-out sequences.
        removed: Sequences that are neither, because they resemble a held-out one.
    """

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
    progress: OnStage = no_progress,
) -> Split:
    """Hold out proteins at random and remove all proteins that are similar to any of them from training.

    Only training sequences are removed, so the promise holds for each held-out protein, and no chain of
    relatives can break it. Held-out proteins may resemble each other. The same arguments always give the same
    split.

    The search for relatives (``biofm_datasets.similarity``) errs on the side of removing: it also takes pairs
    that miss the identity by a margin. It still misses a few distant or very short relatives; the data cards
    say how many. 25 million residues and 1,500 held-out proteins take minutes on one core.

    Args:
        sequences: Sequences as ``clean_protein`` returns them.
        groups: The source of each sequence.
        n_held_out: The number of proteins of 30 to 1,022 residues to hold out of each source.
        max_identity: The share of identical columns of an alignment, gaps counted as columns, from which two
            proteins are similar.
        min_coverage: The share of the shorter protein that this alignment must cover.
        seed: Seed of the random choice.
        progress: Called with the stage, its work done and its total. By default nothing is reported.

    Raises:
        ValueError: A source has too few proteins of this length.
    """
    assert len(sequences) == len(groups), "one group for each sequence"
    held_out = _choose(sequences, groups, n_held_out, seed)
    rest = np.setdiff1d(np.arange(len(sequences)), held_out)
    is_similar = find_similar(
        [sequences[i] for i in held_out],
        [sequences[i] for i in rest],
        Similarity(max_identity, min_coverage).with_margin(),
        progress,
    )
    return Split(train=rest[~is_similar], held_out=held_out, removed=rest[is_similar])


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
                f"group {group!r} has {format_count(len(pool), 'protein')} of 30 to 1,022 residues, "
                f"fewer than {n_wanted:,}"
            )
        chosen.append(generator.choice(pool, n_wanted, replace=False))
    return np.sort(np.concatenate(chosen)).astype(np.int64)
