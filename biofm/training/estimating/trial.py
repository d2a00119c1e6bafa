"""Trial: a few training steps on a copy of the model, whose time and memory are measured."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from biofm_datasets.sampling import Plan
from torch import nn

from biofm.core.memory import resident_bytes
from biofm.inference import Compute
from biofm.nn import Encoder, recompute_blocks
from biofm.training.batches import BEGINNING, Maker, ProcessRank, TrainingBatches
from biofm.training.data import PackedData
from biofm.training.objectives import Example, Objective
from biofm.training.optimizers import make_optimizer
from biofm.training.recipe import Recipe

SECONDS = 5.0
LEAST_STEPS = 3  # the first is slow, and the next two still take new memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Holds the time and the memory of some steps.

    Attributes:
        n_tokens: Tokens of all batches but the first one, which is slow.
        seconds: Time of the forward and backward passes of these batches.
        update_seconds: Time of one update of the weights.
        used_bytes: The most memory that the process held, the weights of the copy included.
        largest_batch: Tokens of the largest batch.
    """

    n_tokens: int
    seconds: float
    update_seconds: float
    used_bytes: int
    largest_batch: int


def try_steps(
    model: nn.Module, objective: Objective, data: PackedData, recipe: Recipe, compute: Compute
) -> Trial:
    """Make steps of one batch each on a copy of the model, for five seconds and at least three steps.

    Blocks are not compiled, because that takes longer than the trial.

    Args:
        model: The model, which stays as it is.
        objective: Labels the batches and computes the loss.
        data: The batches of the run.
        recipe: The settings of the run.
        compute: The device and the number format.
    """
    copy = training_copy(model, compute)
    if recipe.activation_checkpointing:
        recompute_blocks(encoder_of(copy))
    optimizer = make_optimizer(copy, recipe)
    watch = _Watch(compute)
    for example in sample_batches(objective, data, recipe):
        example = example.to(compute.device)
        watch.begin(len(example.batch.tokens))
        with precision(compute):
            loss = objective.loss(copy, example)
        watch.look()
        optimizer.zero_grad()  # as late as Lightning does it
        loss.backward()
        del loss
        watch.passed()
        optimizer.step()
        watch.updated()
        if watch.is_enough:
            return watch.trial
    raise AssertionError("the stream of batches is endless")


class _Watch:
    """Records when each step begins, when its passes are over, and when the weights are updated."""

    def __init__(self, compute: Compute) -> None:
        self.compute = compute
        self.sizes: list[int] = []
        self.moments: list[float] = []  # three for each step
        self.used_bytes = 0

    def begin(self, n_tokens: int) -> None:
        self.sizes.append(n_tokens)
        self._note()

    def look(self) -> None:
        self.used_bytes = max(self.used_bytes, used_bytes(self.compute))

    def passed(self) -> None:
        self._note()
        self.look()

    def updated(self) -> None:
        self._note()
        self.look()

    @property
    def is_enough(self) -> bool:
        return len(self.sizes) >= LEAST_STEPS and self.moments[-1] - self.moments[0] > SECONDS

    @property
    def trial(self) -> Trial:
        began, passed, updated = (np.array(self.moments[i::3][1:]) for i in range(3))
        return Trial(
            n_tokens=sum(self.sizes[1:]),
            seconds=float((passed - began).sum()),
            update_seconds=float((updated - passed).mean()),
            used_bytes=self.used_bytes,
            largest_batch=max(self.sizes),
        )

    def _note(self) -> None:
        if self.compute.device.type == "cuda":
            torch.cuda.synchronize(self.compute.device)
        self.moments.append(perf_counter())


def training_copy(model: nn.Module, compute: Compute) -> nn.Module:
    """Copy the model to the device in float32, as training does."""
    return deepcopy(model).to(compute.device, torch.float32).train()


def encoder_of(model: nn.Module) -> Encoder:
    return next(part for part in model.modules() if isinstance(part, Encoder))


def plan_of(data: PackedData, recipe: Recipe) -> Plan:
    """Return the plan of the batches that a run with this recipe would make in one process."""
    return Plan(
        data.train, data.store, budget=recipe.tokens_per_batch, max_length=recipe.max_length, seed=recipe.seed
    )


def sample_batches(objective: Objective, data: PackedData, recipe: Recipe) -> Iterator[Example]:
    maker = Maker(data.store, objective, recipe)
    return iter(TrainingBatches(maker, plan_of(data, recipe), 1, ProcessRank(), BEGINNING))


def precision(compute: Compute) -> AbstractContextManager[None]:
    """Return a context in which products have the number format of ``compute``, as Lightning sets it."""
    rounds = compute.dtype is torch.bfloat16
    return torch.autocast(compute.device.type, torch.bfloat16, enabled=rounds, cache_enabled=False)


def used_bytes(compute: Compute) -> int:
    """Return the bytes in use on the device: by this process on a CPU, by torch on a GPU."""
    if compute.device.type == "cuda":
        return torch.cuda.memory_reserved(compute.device)
    return resident_bytes()
