"""Objective: how a batch is labelled and how its loss is computed; several objectives share one loss."""

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
    """Holds a batch with its targets.

    Attributes:
        batch: What the model sees.
        rows: The rows of the model's output that are judged.
        targets: What these rows should be.
    """

    batch: PackedBatch
    rows: Int[Tensor, " judged"]
    targets: Tensor

    @property
    def n_judged(self) -> int:
        """The number of targets that are known. Each of them has the same weight in any batch."""
        has_unknown = self.targets.is_floating_point()  # NaN marks an unknown number of a sequence
        return int((~self.targets.isnan()).sum()) if has_unknown else len(self.targets)


class Example(NamedTuple):
    """Holds a labelled batch and its place in the run.

    Attributes:
        batch: What the model sees.
        rows: The rows of the model's output that are judged.
        targets: What these rows should be.
        n_judged: The number of targets that count; 0 for a batch that only keeps the processes in step.
        cursor: The place where the next step begins.
    """

    batch: PackedBatch
    rows: Int[Tensor, " judged"]
    targets: Tensor
    n_judged: int
    cursor: Cursor

    def to(self, device: torch.device) -> "Example":
        """Copy the tensors to a device.

        Args:
            device: The device.
        """
        return self._replace(
            batch=self.batch.to(device), rows=self.rows.to(device), targets=self.targets.to(device)
        )


@dataclass(frozen=True, slots=True)
class Objective:
    """Holds the two functions that define a training task.

    Both are functions of a module, so that they can be sent to another process.

    Attributes:
        label: ``label(batch, members, starts, rng)`` labels a batch in the process that makes it. Sequence i
            of the batch is member ``members[i]`` of the store from its token ``starts[i]`` on.
        loss: ``loss(model, example)`` returns the mean over the known targets; zero if there are none.
    """

    label: Callable[[PackedBatch, Indices, Indices, np.random.Generator], Labelled]
    loss: Callable[[nn.Module, Example], Tensor]


def cross_entropy(model: nn.Module, example: Example) -> Float[Tensor, ""]:
    """Compute the mean cross-entropy of the judged rows of the model's output in nats; zero without rows."""
    total = F.cross_entropy(model(example.batch)[example.rows].float(), example.targets, reduction="sum")
    return total / max(1, len(example.targets))
