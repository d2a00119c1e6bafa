"""The two functions that make an objective, and what passes between them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from biofm_datasets.sampling import Cursor
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor, nn

from biofm.nn import PackedBatch

Indices = NDArray[np.int64]


class Labelled(NamedTuple):
    """What the model sees, which rows of its output are judged, and what they should be."""

    batch: PackedBatch
    rows: Int[Tensor, " judged"]
    targets: Tensor


class Example(NamedTuple):
    """A labelled batch in its place among those of a step.

    ``share``: its part of the step's loss times the number of batches in a step, so that the mean over
    these is the mean over the step's examples. ``cursor``: where the next step begins.
    """

    batch: PackedBatch
    rows: Int[Tensor, " judged"]
    targets: Tensor
    share: float
    cursor: Cursor

    def to(self, device: torch.device) -> "Example":
        return self._replace(
            batch=self.batch.to(device), rows=self.rows.to(device), targets=self.targets.to(device)
        )


@dataclass(frozen=True, slots=True)
class Objective:
    """``label(batch, members, starts, rng)`` runs where batches are made: sequence i of the batch is member
    ``members[i]`` of the store from its token ``starts[i]`` on.

    ``loss(model, example)`` is the mean over the judged rows, zero where there are none. ``counts`` says what
    the batches of a step are weighted by: their sequences or their tokens.

    Both are functions of a module, so that they can be sent to another process.
    """

    label: Callable[[PackedBatch, Indices, Indices, np.random.Generator], Labelled]
    loss: Callable[[nn.Module, Example], Tensor]
    counts: Literal["sequences", "tokens"]
