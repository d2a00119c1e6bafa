"""Objectives of labelled data: the model predicts numbers or classes of sequences, or classes of residues."""

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
    """Make the objective of a regression: the squared error of every number.

    Args:
        targets: The numbers of each sequence of the store. NaN marks an unknown number, which does not count.
    """
    return Objective(partial(_label_sequences, targets.astype(np.float32)), _squared_error)


def classification(targets: Int[np.ndarray, " members"]) -> Objective:
    """Make the objective of a classification: the cross-entropy of the class of each sequence.

    Args:
        targets: The class of each sequence of the store. -1 marks an unknown class, which does not count.
    """
    return Objective(partial(_label_classes, targets), cross_entropy)


def multi_label(targets: Float[np.ndarray, "members labels"]) -> Objective:
    """Make the objective of several labels a sequence: the binary cross-entropy of every label.

    Args:
        targets: 1 or 0 for each label of each sequence of the store. NaN marks an unknown label, which does
            not count.
    """
    labels = targets.astype(np.float32)
    return Objective(partial(_label_sequences, labels), _binary_cross_entropy)


def per_residue(targets: Sequence[NDArray[np.integer]], tokenizer: Tokenizer) -> Objective:
    """Make the objective of residue classes: the cross-entropy of the class of each residue.

    The special tokens around a sequence have no class. A cropped sequence counts with the residues that it
    shows.

    Args:
        targets: For each sequence of the store, a class for each residue. -1 marks an unknown class, which
            does not count.
        tokenizer: Says how many special tokens stand around a sequence.
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
    """Label the sequences of which at least one number is known."""
    of_batch = targets[members]
    rows = np.flatnonzero(~np.isnan(of_batch).all(axis=1))
    return Labelled(batch, torch.from_numpy(rows), torch.from_numpy(of_batch[rows]))


def _mean_where_known(losses: Tensor, targets: Tensor) -> Tensor:
    """Compute the mean of those losses whose target is known; zero if none is."""
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
    assert len(labels) == len(batch.tokens), "there is one label for each token"
    rows = np.flatnonzero(labels != UNKNOWN)
    return Labelled(batch, torch.from_numpy(rows), torch.from_numpy(labels[rows]))


def _of_tokens(of_residues: NDArray[np.integer], frame: tuple[int, int]) -> NDArray[np.int64]:
    return np.pad(of_residues.astype(np.int64), frame, constant_values=UNKNOWN)
