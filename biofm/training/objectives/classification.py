"""Classes of a sequence: one of several, or each of several by itself."""

from functools import partial

import numpy as np
import torch
from biofm_datasets.arrays import Indices
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn import PackedBatch
from biofm.training.objectives.objective import Example, Labelled, Objective
from biofm.training.objectives.regression import label_sequences, mean_where_known


def classification(targets: Int[np.ndarray, " members"]) -> Objective:
    """Cross-entropy of the class of each sequence; -1 is one that nobody knows and that does not count."""
    return Objective(partial(_label, targets), cross_entropy)


def multi_label(targets: Float[np.ndarray, "members labels"]) -> Objective:
    """Binary cross-entropy of every label, 1 or 0; NaN is one that nobody knows and that does not count."""
    labels = targets.astype(np.float32)
    return Objective(partial(label_sequences, labels), _binary_cross_entropy)


def cross_entropy(model: nn.Module, example: Example) -> Float[Tensor, ""]:
    """Mean over the judged rows of the model's output, in nats; zero where there are none."""
    total = F.cross_entropy(model(example.batch)[example.rows].float(), example.targets, reduction="sum")
    return total / max(1, len(example.targets))


def _label(
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
    return mean_where_known(losses, example.targets)
