"""What a training run will take in memory, time and space on the disk, before it begins."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from biofm.core.free_memory import free_bytes
from biofm.core.hardware import resident_bytes
from biofm.inference import Compute
from biofm.training.data import PackedData
from biofm.training.objectives import Objective
from biofm.training.processes import find_processes
from biofm.training.recipe import Recipe
from biofm.training.step_memory import StepMemory, bytes_of, learning_bytes, measure_step
from biofm.training.trial import Trial, try_steps, used_bytes

LARGEST_CPU_TRIAL = 4096  # tokens of a batch: more of them are no faster on a CPU
FORWARD_SHARE = 1 / 3  # of the time of a batch: its backward pass takes twice as long as its forward one


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEstimate:
    """``n_tokens`` pass through the model in training; the training set has ``n_train_tokens``, cropped.
    ``seconds``: of all steps and judgements, without compiling; None where memory is too small to try a step.

    ``memory_bytes``: of one process where the model trains, at its highest, the sum of ``memory_parts``;
    ``host_bytes``: of the host beside a GPU. ``room_bytes``: what training may take, None where the system
    does not say. ``largest_tokens_per_batch`` fits it, a multiple of 1,024; 0 where 1,024 are too many.
    ``output_bytes``: of files, while a checkpoint is replaced.
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
    """Try a few steps on a copy of ``model``, which is in memory and has not been trained yet, and reckon."""
    before, on_cpu = used_bytes(compute), compute.device.type == "cpu"
    weights = list(model.parameters())
    room = training_room(model, recipe, compute)
    memory, trial = _measure(model, objective, data, recipe, compute, room)
    members = np.concatenate([pool[np.arange(len(pool))] for pool in data.train.pools])
    lengths = _lengths(data, members, recipe)
    parts = memory.parts(max(recipe.tokens_per_batch, int(lengths.max())))
    if on_cpu:
        parts = {"program and data": before - bytes_of(weights) + parts.pop("code")} | parts
    checkpoint = learning_bytes(model) + memory.optimiser + memory.averages
    return TrainingEstimate(
        n_parameters=sum(weight.numel() for weight in weights),
        n_trained=sum(weight.numel() for weight in weights if weight.requires_grad),
        n_steps=recipe.n_steps,
        n_tokens=_n_tokens(recipe),
        n_train_tokens=int(lengths.sum()),
        tokens_per_batch=recipe.tokens_per_batch,
        n_processes=find_processes(recipe).world_size,
        seconds=None if trial is None else _seconds(trial, data, recipe),
        sample_tokens=0 if trial is None else trial.n_tokens,
        sample_seconds=0.0 if trial is None else trial.seconds,
        memory_bytes=sum(parts.values()),
        memory_parts=parts,
        host_bytes=0 if on_cpu else resident_bytes() + checkpoint,
        room_bytes=room,
        largest_tokens_per_batch=None if room is None else memory.largest_batch(room),
        output_bytes=_output_bytes(recipe, memory.weights, checkpoint),
        dtype=compute.dtype_name,
        device=compute.device.type,
        dtype_reason=compute.reason,
    )


def find_batch_size(
    model: nn.Module, objective: Objective, data: PackedData, recipe: Recipe, compute: Compute
) -> int | None:
    """The most ``tokens_per_batch``, a multiple of 1,024, for which there is memory now, before ``model`` is
    trained; 0 where 1,024 are too many, None where the system does not say how much there is.
    """
    room = training_room(model, recipe, compute)
    if room is None:
        return None
    memory, _ = _measure(model, objective, data, recipe, compute, room)
    return memory.largest_batch(room)


def training_room(model: nn.Module, recipe: Recipe, compute: Compute) -> int | None:
    """What training may take where it is done, its weights included, which on a CPU are there already."""
    if compute.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(compute.device)
        idle = torch.cuda.memory_reserved(compute.device) - torch.cuda.memory_allocated(compute.device)
        return free + idle
    free_on_host = free_bytes()
    return None if free_on_host is None else free_on_host // recipe.devices + bytes_of(model.parameters())


def _measure(
    model: nn.Module,
    objective: Objective,
    data: PackedData,
    recipe: Recipe,
    compute: Compute,
    room: int | None,
) -> tuple[StepMemory, Trial | None]:
    """What a step takes in one of the run's processes, and how fast it is, tried as far as there is room."""
    before = used_bytes(compute)
    memory = measure_step(model, objective, data, recipe, compute)
    budget = recipe.tokens_per_batch
    if compute.device.type == "cpu":
        budget = min(budget, LARGEST_CPU_TRIAL)
    if room is not None:
        fits = memory.largest_batch(room - memory.weights)  # the trial has a copy of them
        budget = budget if budget <= fits else fits
    trial = None
    if budget:
        trial = try_steps(model, objective, data, replace(recipe, tokens_per_batch=budget), compute)
        memory = memory.as_tried(trial, before)
    return memory.spread(recipe.strategy, find_processes(recipe).world_size), trial


def _n_tokens(recipe: Recipe) -> int:
    """That pass through the model: batches are full but for one or two hundredths."""
    return recipe.n_steps * recipe.batches_per_step * recipe.tokens_per_batch


def _seconds(trial: Trial, data: PackedData, recipe: Recipe) -> float:
    """Of one process, while the others do the same; judging passes forward alone."""
    token_seconds = trial.seconds / trial.n_tokens / find_processes(recipe).world_size
    n_judgements = recipe.n_steps // recipe.validate_every if recipe.validate_every else 0
    n_judged = n_judgements * int(_lengths(data, data.validation, recipe).sum())
    passes = token_seconds * (_n_tokens(recipe) + FORWARD_SHARE * n_judged)
    return passes + recipe.n_steps * trial.update_seconds


def _lengths(data: PackedData, members: NDArray[np.int64], recipe: Recipe) -> NDArray[np.int64]:
    """In tokens, cropped."""
    return np.minimum(data.store.lengths(members), recipe.max_length)


def _output_bytes(recipe: Recipe, weights: int, checkpoint: int) -> dict[str, int]:
    """Of the newest checkpoint, the best one where there is one, and one that is being written."""
    n_checkpoints = 3 if recipe.validate_every else 2
    return {"model": weights, "checkpoints": n_checkpoints * checkpoint}
