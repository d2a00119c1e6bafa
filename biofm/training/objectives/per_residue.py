"""A class of each residue, such as its secondary structure."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from biofm_datasets.arrays import Indices
from numpy.typing import NDArray

from biofm.modalities import Tokenizer
from biofm.nn import PackedBatch
from biofm.training.objectives.classification import cross_entropy
from biofm.training.objectives.objective import Labelled, Objective

UNKNOWN = -1


def per_residue(targets: Sequence[NDArray[np.integer]], tokenizer: Tokenizer) -> Objective:
    """Cross-entropy of the class of each residue; ``targets[i]`` has one a residue of member i, -1 where
    nobody knows.

    The special tokens around a sequence have no class. A crop is judged on what it shows.
    """
    frame = len(tokenizer.before), len(tokenizer.behind)
    return Objective(partial(_label, targets, frame), cross_entropy)


def _label(
    targets: Sequence[NDArray[np.integer]],
    frame: tuple[int, int],
    batch: PackedBatch,
    members: Indices,
    starts: Indices,
    rng: np.random.Generator,
) -> Labelled:
    lengths = batch.lengths.tolist()
    labels = np.concatenate(
        [
            _of_tokens(targets[member], frame)[start : start + length]
            for member, start, length in zip(members, starts, lengths, strict=True)
        ]
    )
    assert len(labels) == len(batch.tokens), "one label a residue, and the special tokens around them"
    rows = np.flatnonzero(labels != UNKNOWN)
    return Labelled(batch, torch.from_numpy(rows), torch.from_numpy(labels[rows]))


def _of_tokens(of_residues: NDArray[np.integer], frame: tuple[int, int]) -> NDArray[np.int64]:
    return np.pad(of_residues.astype(np.int64), frame, constant_values=UNKNOWN)
