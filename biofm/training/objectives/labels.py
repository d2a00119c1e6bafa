"""The objectives of labelled data: numbers or classes of a sequence, or a class of each residue."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from biofm_datasets.arrays import Indices
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.modalities import Tokenizer
from biofm.nn import PackedBatch
from biofm.training.objectives.objective import Example, Labelled, Objective, cross_entropy

UNKNOWN = -1


def regression(targets: Float[np.ndarray, "members columns"]) -> Objective:
    """Squared error of every number; NaN is a number that nobody knows and that does not count."""
    return Objective(partial(_label_sequences, targets.astype(np.float32)), _squared_error)


def classification(targets: Int[np.ndarray, " members"]) -> Objective:
    """Cross-entropy of the class of each sequence; -1 is one that nobody knows and that does not count."""
    return Objective(partial(_label_classes, targets), cross_entropy)


def multi_label(targets: Float[np.ndarray, "members labels"]) -> Objective:
    """Binary cross-entropy of every label, 1 or 0; NaN is one that nobody knows and that does not count."""
    labels = targets.astype(np.float32)
    return Objective(partial(_label_sequences, labels), _binary_cross_entropy)


def per_residue(targets: Sequence[NDArray[np.integer]], tokenizer: Tokenizer) -> Objective:
    """Cross-entropy of the class of each residue; ``targets[i]`` has one a residue of member i, -1 where
    nobody knows.

    The special tokens around a sequence have no class. A crop is judged on what it shows.
    """
    frame = len(tokenizer.before), len(tokenizer.behind)
    return Objective(partial(_label_residues, targets, frame), cross_entropy)


def _label_sequences(
    targets: NDArray[np.float32],
    batch: PackedBatch,
    members: Indices,
    starts: Indices,
    rng: np.random.Generator,
) -> Labelled:
    """The sequences of which at least one number is known."""
    of_batch = targets[members]
    rows = np.flatnonzero(~np.isnan(of_batch).all(axis=1))
    return Labelled(batch, torch.from_numpy(rows), torch.from_numpy(of_batch[rows]))


def _mean_where_known(losses: Tensor, targets: Tensor) -> Tensor:
    """The mean of those losses whose target is known; zero where none is."""
    is_known = ~targets.isnan()
    return torch.where(is_known, losses, 0.0).sum() / is_known.sum().clamp_min(1)


def _squared_error(model: nn.Module, example: Example) -> Float[Tensor, ""]:
    outputs = model(example.batch)[example.rows].float()
    return _mean_where_known((outputs - example.targets.nan_to_num()).square(), example.targets)


def _label_classes(
    targets: NDArray[np.int64],
    batch: PackedBatch,
    members: Indices,
    starts: Indices,
    rng: np.random.Generator,
) -> Labelled:
    of_batch = targets[members]
    rows = np.flatnonzero(of_batch >= 0)
    return Labelled(batch, torch.from_numpy(rows), torch.from_numpy(of_batch[rows]))


def _binary_cross_entropy(model: nn.Module, example: Example) -> Float[Tensor, ""]:
    outputs = model(example.batch)[example.rows].float()
    losses = F.binary_cross_entropy_with_logits(outputs, example.targets.nan_to_num(), reduction="none")
    return _mean_where_known(losses, example.targets)


def _label_residues(
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
