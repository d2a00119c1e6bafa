"""Regression: numbers of a sequence."""

from functools import partial

import numpy as np
import torch
from biofm_datasets.arrays import Indices
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from biofm.nn import PackedBatch
from biofm.training.objectives.objective import Example, Labelled, Objective


def regression(targets: Float[np.ndarray, "members columns"]) -> Objective:
    """Squared error of every number; NaN is a number that nobody knows and that does not count."""
    return Objective(partial(label_sequences, targets.astype(np.float32)), _squared_error)


def label_sequences(
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


def mean_where_known(losses: Tensor, targets: Tensor) -> Tensor:
    """The mean of those losses whose target is known; zero where none is."""
    is_known = ~targets.isnan()
    return torch.where(is_known, losses, 0.0).sum() / is_known.sum().clamp_min(1)


def _squared_error(model: nn.Module, example: Example) -> Float[Tensor, ""]:
    outputs = model(example.batch)[example.rows].float()
    return mean_where_known((outputs - example.targets.nan_to_num()).square(), example.targets)
