"""An objective: how a batch is labelled, and the loss on it; and the loss that several objectives share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from biofm_datasets.arrays import Indices
from biofm_datasets.sampling import Cursor
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn import PackedBatch


class Labelled(NamedTuple):
    """What the model sees, which rows of its output are judged, and what they should be."""

    batch: PackedBatch
    rows: Int[Tensor, " judged"]
    targets: Tensor

    @property
    def n_judged(self) -> int:
        """How many targets are known: each counts the same, in whatever batch it is."""
        has_unknown = self.targets.is_floating_point()  # NaN among those of a sequence
        return int((~self.targets.isnan()).sum()) if has_unknown else len(self.targets)


class Example(NamedTuple):
    """A labelled batch in its place among those of a step.

    ``n_judged``: how many targets it counts for; 0 where it is there for processes to be in step alone.
    ``cursor``: where the next step begins.
    """

    batch: PackedBatch
    rows: Int[Tensor, " judged"]
    targets: Tensor
    n_judged: int
    cursor: Cursor

    def to(self, device: torch.device) -> "Example":
        return self._replace(
            batch=self.batch.to(device), rows=self.rows.to(device), targets=self.targets.to(device)
        )


@dataclass(frozen=True, slots=True)
class Objective:
    """``label(batch, members, starts, rng)`` runs where batches are made: sequence i of the batch is member
    ``members[i]`` of the store from its token ``starts[i]`` on.

    ``loss(model, example)`` is the mean over the known targets, zero where there are none.

    Both are functions of a module, so that they can be sent to another process.
    """

    label: Callable[[PackedBatch, Indices, Indices, np.random.Generator], Labelled]
    loss: Callable[[nn.Module, Example], Tensor]


def cross_entropy(model: nn.Module, example: Example) -> Float[Tensor, ""]:
    """The mean cross-entropy of the judged rows of the model's output, in nats; zero where there are none."""
    total = F.cross_entropy(model(example.batch)[example.rows].float(), example.targets, reduction="sum")
    return total / max(1, len(example.targets))
