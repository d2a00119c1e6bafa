"""Fitting: from weights and batches to trained weights, checkpoints and a log."""

from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import nn

from biofm.core.errors import ModelError
from biofm.core.progress import RunProgress
from biofm.inference import Compute
from biofm.models.finiteness import AGAIN, find_fault
from biofm.training.callbacks import Best, MetricsLog, Speedometer
from biofm.training.checkpoints import (
    Checkpoints,
    as_read,
    checkpoint_to_resume,
    load_weights,
    read_callbacks,
)
from biofm.training.data import PackedData
from biofm.training.estimating import give_back, measure_step, memory_named, training_room
from biofm.training.flops import arithmetic_of_model, peak_flops
from biofm.training.folder import CHECKPOINTS, LOG, checkpoint_path, newest_step
from biofm.training.module import TrainingModule, prepared_blocks
from biofm.training.objectives import Objective
from biofm.training.processes import (
    Interruption,
    find_processes,
    one_message,
    remove_end_mark,
    rendezvous,
)
from biofm.training.recipe import Recipe
from biofm.training.steps import Steps
from biofm.training.throughput import Throughput
from biofm.training.trainer import close_loggers, make_trainer, silence


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSummary:
    """``n_steps``: how many were made, in all sessions of a resumed run together. ``best_step``: the step
    whose weights the model has, and its ``validation_loss``; the last step and None if none was judged.
    """

    n_steps: int
    best_step: int
    validation_loss: float | None
    stopped_early: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What ``fit`` was given."""

    model: nn.Module
    objective: Objective
    data: PackedData
    recipe: Recipe
    compute: Compute
    folder: Path
    progress: RunProgress

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS


def fit(
    model: nn.Module,
    objective: Objective,
    data: PackedData,
    recipe: Recipe,
    compute: Compute,
    folder: Path,
    progress: RunProgress,
) -> FitSummary:
    """Train ``model`` in place.

    If ``folder`` holds checkpoints, the run goes on from the newest one: with the same batches, the same
    masks and the same state of the optimiser. Checkpoints are saved between steps alone, never amid one, so
    that a resumed run equals an uninterrupted one to the last bit. At the end the model has the weights of
    the best step, or of the last one if none was judged.

    The weights stay in float32; where ``compute`` says bfloat16, only products are computed in it.

    Raises KeyboardInterrupt or SystemExit at the end of the step in which SIGINT or SIGTERM came. ModelError:
    a weight to begin with is not finite. OptionError: memory is too small, or the loss is not finite any
    more.
    """
    crew = rendezvous(recipe)
    task = _Task(
        model=model, objective=objective, data=data, recipe=recipe, compute=compute, folder=folder,
        progress=progress,
    )  # fmt: skip
    started, found = crew.from_main(lambda: _begin(task))
    if started < recipe.n_steps:
        # What is spread over processes stays so: a copy is.
        trained = deepcopy(model) if recipe.strategy == "fsdp" else model
        module = TrainingModule(trained.float().train(), objective, recipe)
        interruption = Interruption(is_main=crew.is_main)
        room = training_room(model, recipe, compute)
        with (
            memory_named(recipe, compute, partial(_largest_batch, task, room)),
            interruption.deferred(),
            one_message(crew, task.checkpoints),
            silence(),
        ):
            _train(task, module, interruption, started, Path(found) if found else None)
    return FitSummary(**crew.from_main(lambda: asdict(_finish(task))))


def _begin(task: _Task) -> tuple[int, str | None]:
    """The number of steps that are done, and the path of the checkpoint to go on from, in the form that the
    strategy reads; None for a new run.

    Raises ModelError: a weight to begin with is not finite.
    """
    if fault := find_fault(task.model):
        what = f"training cannot begin with these weights: {fault}"
        raise ModelError(what, where="the model", remedy=AGAIN)
    task.checkpoints.mkdir(exist_ok=True)
    remove_end_mark(task.checkpoints)
    started = newest_step(task.checkpoints) or 0
    state = checkpoint_to_resume(task.checkpoints)
    if state and started < task.recipe.n_steps:
        state = as_read(state, task.model, task.recipe)
    return started, str(state) if state else None


def _train(
    task: _Task, module: TrainingModule, interruption: Interruption, started: int, state: Path | None
) -> None:
    """Make the steps after the first ``started`` ones, from the checkpoint at ``state`` if there is one."""
    recipe, compute = task.recipe, task.compute
    best, speedometer = Best(recipe.patience), _speedometer(module.model, recipe, compute)
    averages = [EMAWeightAveraging(decay=recipe.ema_decay, use_buffers=False)] if recipe.ema_decay else []
    callbacks = [
        *averages,
        best,
        speedometer,
        MetricsLog(task.folder / LOG, recipe, speedometer, task.progress),
        Checkpoints(task.checkpoints, recipe, best, interruption, speedometer),
        Steps(recipe),
    ]
    is_judged = len(task.data.validation) > 0 and recipe.validate_every > 0
    trainer = make_trainer(recipe, compute, task.folder, callbacks, started + 1, is_judged=is_judged)
    try:
        with prepared_blocks(module.model, recipe, compute.device):
            trainer.fit(module, task.data, ckpt_path=state, weights_only=True)
    finally:
        close_loggers(trainer.loggers)


def _speedometer(model: nn.Module, recipe: Recipe, compute: Compute) -> Speedometer:
    throughput = Throughput(
        arithmetic_of_model(model),
        budget=recipe.tokens_per_batch,
        peak_flops=peak_flops(compute.device, compute.dtype),
        device=compute.device,
        n_processes=find_processes(recipe).world_size,
    )
    return Speedometer(throughput, recipe.n_steps)


def _largest_batch(task: _Task, room: int | None) -> int | None:
    """The tokens of the largest batch that fits into ``room``, the bytes that were free before training."""
    recipe, compute = task.recipe, task.compute
    task.data.trainer = None  # which has the optimiser
    task.model.zero_grad()
    give_back(compute)
    memory = measure_step(task.model, task.objective, task.data, recipe, compute)
    return room and memory.spread(recipe.strategy, find_processes(recipe).world_size).largest_batch(room)


def _finish(task: _Task) -> FitSummary:
    """Give the model the weights that are kept."""
    last = newest_step(task.checkpoints)
    assert last is not None, "the last step is saved"
    best = Best(task.recipe.patience)
    best.load_state_dict(read_callbacks(checkpoint_path(task.checkpoints, last))[best.state_key])
    best_step = last if best.step is None else best.step
    load_weights(task.model, checkpoint_path(task.checkpoints, best_step))
    return FitSummary(
        n_steps=last,
        best_step=best_step,
        validation_loss=None if best.step is None else best.loss,
        stopped_early=best.has_stopped and last < task.recipe.n_steps,
    )
