"""Estimate of a training: a few steps on a copy of the model tell its memory, time and space on the disk."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from biofm.core.errors import OptionError
from biofm.core.memory import free_bytes, resident_bytes
from biofm.inference import Compute
from biofm.training.data import PackedData
from biofm.training.estimating.memory import (
    StepMemory,
    bytes_of,
    is_lack_of_memory,
    learning_bytes,
    measure_step,
)
from biofm.training.estimating.trial import Trial, plan_of, try_steps, used_bytes
from biofm.training.objectives import Objective
from biofm.training.processes import find_processes
from biofm.training.recipe import Recipe

LARGEST_CPU_TRIAL = 4096  # tokens; larger batches are no faster on a CPU
BINS = 64  # number of batches from which the mean tokens of a batch are computed
FORWARD_SHARE = 1 / 3  # of a batch's time: the backward pass takes twice as long as the forward pass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEstimate:
    """Holds what a training will take.

    Attributes:
        n_parameters: Parameters of the model.
        n_trained: Parameters that are trained.
        n_steps: Steps of the optimiser.
        n_tokens: Tokens that pass through the model in all training steps.
        n_train_tokens: Tokens of the training set after cropping.
        tokens_per_batch: Token budget of a batch.
        n_processes: Processes that train together.
        seconds: Time of all steps and validations with blocks that are not compiled; a run that stops early
            takes less. None if memory is too small to try a step.
        sample_tokens: Tokens of the steps that were tried; 0 if none was.
        sample_seconds: Time of these steps, without the optimiser's updates.
        memory_bytes: The most memory that one process takes on the device, the sum of ``memory_parts``.
        memory_parts: Bytes of each part, by its name.
        host_bytes: Memory that a process takes on the host beside a GPU; 0 if it trains on the CPU.
        room_bytes: Memory that is free for training; None if the system does not tell it.
        largest_tokens_per_batch: The largest token budget that fits into ``room_bytes``, a multiple of 1,024;
            0 if 1,024 are too many, None if the room is not known.
        output_bytes: Bytes of the files by their kind, at the moment when a checkpoint is replaced.
        dtype: The number format of the products.
        device: The kind of the device.
        dtype_reason: Why this format was chosen.
    """

    n_parameters: int
    n_trained: int
    n_steps: int
    n_tokens: int
    n_train_tokens: int
    tokens_per_batch: int
    n_processes: int
    seconds: float | None
    sample_tokens: int
    sample_seconds: float
    memory_bytes: int
    memory_parts: Mapping[str, int]
    host_bytes: int
    room_bytes: int | None
    largest_tokens_per_batch: int | None
    output_bytes: Mapping[str, int]
    dtype: str
    device: str
    dtype_reason: str


def estimate_training(
    model: nn.Module, objective: Objective, data: PackedData, recipe: Recipe, compute: Compute
) -> TrainingEstimate:
    """Try a few steps on a copy of ``model``, and compute from them what all steps will take.

    Args:
        model: The model in memory, before its training.
        objective: Labels the batches and computes the loss.
        data: The batches of the run.
        recipe: The settings of the run.
        compute: The device and the number format.

    Raises:
        OptionError: Memory is too small for a copy of the model.
    """
    before, on_cpu = used_bytes(compute), compute.device.type == "cpu"
    weights = list(model.parameters())
    room = training_room(model, recipe, compute)
    with _copy_named(compute):
        memory, trial = _measure(model, objective, data, recipe, compute, room)
    processes = find_processes(recipe)
    spread = memory.spread(recipe.strategy, processes.world_size)
    bins = _bins(data, recipe)
    n_tokens = round(recipe.n_steps * recipe.batches_per_step * float(bins.mean()))
    parts = spread.parts(int(bins.max()))
    if on_cpu:
        parts = {"program and data": before - bytes_of(weights) + parts.pop("code")} | parts
    checkpoint = _checkpoint_bytes(model, memory, recipe)
    return TrainingEstimate(
        n_parameters=sum(weight.numel() for weight in weights),
        n_trained=sum(weight.numel() for weight in weights if weight.requires_grad),
        n_steps=recipe.n_steps,
        n_tokens=n_tokens,
        n_train_tokens=int(_lengths(data, _members(data), recipe).sum()),
        tokens_per_batch=recipe.tokens_per_batch,
        n_processes=processes.world_size,
        seconds=None if trial is None else _seconds(trial, n_tokens, data, recipe, compute),
        sample_tokens=0 if trial is None else trial.n_tokens,
        sample_seconds=0.0 if trial is None else trial.seconds,
        memory_bytes=sum(parts.values()),
        memory_parts=parts,
        host_bytes=0 if on_cpu else resident_bytes() + checkpoint,
        room_bytes=room,
        largest_tokens_per_batch=None if room is None else spread.largest_batch(room),
        output_bytes=_output_bytes(recipe, memory.weights, checkpoint),
        dtype=compute.dtype_name,
        device=compute.device.type,
        dtype_reason=compute.reason,
    )


def training_room(model: nn.Module, recipe: Recipe, compute: Compute) -> int | None:
    """Find how many bytes training may take on the device, the model's weights included.

    On a CPU the weights are in memory already. Returns None if the system does not tell its free memory.

    Args:
        model: The model in memory.
        recipe: Says how many processes share the machine.
        compute: The device.
    """
    if compute.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(compute.device)
        idle = torch.cuda.memory_reserved(compute.device) - torch.cuda.memory_allocated(compute.device)
        return free + idle
    free_on_host = free_bytes()
    if free_on_host is None:
        return None
    return free_on_host // find_processes(recipe).n_local + bytes_of(model.parameters())


def _measure(
    model: nn.Module,
    objective: Objective,
    data: PackedData,
    recipe: Recipe,
    compute: Compute,
    room: int | None,
) -> tuple[StepMemory, Trial | None]:
    """Measure the memory of a step in one process, and its speed with batches that fit into ``room``.

    The second result is None if no batch fits.
    """
    before = used_bytes(compute)
    memory = measure_step(model, objective, data, recipe, compute)
    budget = recipe.tokens_per_batch
    if compute.device.type == "cpu":
        budget = min(budget, LARGEST_CPU_TRIAL)
    if room is not None:
        fits = memory.largest_batch(room - memory.weights)  # the trial copies the weights
        budget = min(budget, fits)
    trial = None
    if budget:
        trial = try_steps(model, objective, data, replace(recipe, tokens_per_batch=budget), compute)
        memory = memory.as_tried(trial, before)
    return memory, trial


@contextmanager
def _copy_named(compute: Compute) -> Iterator[None]:
    """Turn a lack of memory within the ``with`` into an OptionError about the size of the model.

    The batches are as small as the room requires, so they are not the cause.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_lack_of_memory(error):
            raise
        what = f"the memory of {compute.device} is too small for a copy of the model and a few tokens"
        raise OptionError(
            what, where="--device", remedy="Use a smaller model, or a device with more memory"
        ) from error


def _members(data: PackedData) -> NDArray[np.int64]:
    """Return the numbers of all training sequences in the store."""
    return np.concatenate([pool[np.arange(len(pool))] for pool in data.train.pools])


def _bins(data: PackedData, recipe: Recipe) -> NDArray[np.int64]:
    """Return the numbers of tokens of some batches, which are not full if there is little data."""
    bins = islice(plan_of(data, recipe).bins(), BINS)
    return np.array([int(_lengths(data, members, recipe).sum()) for _, members in bins])


def _seconds(trial: Trial, n_tokens: int, data: PackedData, recipe: Recipe, compute: Compute) -> float:
    """Estimate the seconds of all steps and validations.

    A validation has only a forward pass. Processes with one device each work in parallel; those on one CPU
    share it.
    """
    processes = find_processes(recipe)
    n_devices = processes.n_nodes if compute.device.type == "cpu" else processes.world_size
    token_seconds = trial.seconds / trial.n_tokens / n_devices
    n_judgements = recipe.n_steps // recipe.validate_every if recipe.validate_every else 0
    n_judged = n_judgements * int(_lengths(data, data.validation, recipe).sum())
    passes = token_seconds * (n_tokens + FORWARD_SHARE * n_judged)
    return passes + recipe.n_steps * trial.update_seconds


def _lengths(data: PackedData, members: NDArray[np.int64], recipe: Recipe) -> NDArray[np.int64]:
    """Return the lengths of these sequences in tokens, after cropping."""
    return np.minimum(data.store.lengths(members), recipe.max_length)


def _checkpoint_bytes(model: nn.Module, memory: StepMemory, recipe: Recipe) -> int:
    """Return the size of a checkpoint in bytes.

    It holds frozen weights too if weights are averaged or spread over processes.
    """
    has_all = recipe.ema_decay > 0 or recipe.strategy == "fsdp"
    kept = memory.weights if has_all else learning_bytes(model)
    return kept + memory.optimiser + memory.averages


def _output_bytes(recipe: Recipe, weights: int, checkpoint: int) -> dict[str, int]:
    """Return the bytes of the model and of the checkpoints.

    There are at most three: the newest, the best if the run validates, and one that is being written.
    """
    n_checkpoints = 0 if not recipe.n_steps else 3 if recipe.validate_every else 2
    return {"model": weights, "checkpoints": n_checkpoints * checkpoint}
