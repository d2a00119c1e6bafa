"""Fitting: ``fit`` trains a model on batches, saves checkpoints and writes the log."""

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
    """Holds how a training ended.

    Attributes:
        n_steps: Steps that were made, in all sessions of a resumed run together.
        best_step: The step whose weights the model has; the last one if no step was validated.
        validation_loss: The loss of the best step on the validation set; None if no step was validated.
        stopped_early: Whether the recipe's patience ended the run before its last step.
    """

    n_steps: int
    best_step: int
    validation_loss: float | None
    stopped_early: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """Holds the arguments of ``fit``."""

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

    If ``folder`` holds checkpoints, the run continues from the newest one with the same batches, the same
    masks and the same state of the optimiser. Checkpoints are saved only between steps, so a resumed run
    equals an uninterrupted one to the last bit. At the end the model has the weights of the best step, or of
    the last one if no step was validated.

    The weights stay in float32; where ``compute`` says bfloat16, only products are computed in it.

    Raises:
        KeyboardInterrupt: SIGINT came; it is raised at the end of the step.
        SystemExit: SIGTERM came; it is raised at the end of the step.
        ModelError: A weight is not finite before training.
        OptionError: Memory is too small, or the loss is no longer finite.
    """
    crew = rendezvous(recipe)
    task = _Task(
        model=model, objective=objective, data=data, recipe=recipe, compute=compute, folder=folder,
        progress=progress,
    )  # fmt: skip
    started, found = crew.from_main(lambda: _begin(task))
    if started < recipe.n_steps:
        # FSDP2 spreads the weights over the processes for good, so it gets a copy of the model.
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
    """Return the number of steps that are done, and the path of the checkpoint to resume from.

    The checkpoint has the form that the strategy reads; the path is None for a new run.

    Raises:
        ModelError: A weight is not finite before training.
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
    """Make the steps after the first ``started`` ones, beginning with the checkpoint ``state`` if given."""
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
    """Return the size of the largest batch, in tokens, that fits into ``room``.

    ``room`` is the number of bytes that were free before training.
    """
    recipe, compute = task.recipe, task.compute
    task.data.trainer = None  # the trainer holds the optimiser, whose memory must be freed
    task.model.zero_grad()
    give_back(compute)
    memory = measure_step(task.model, task.objective, task.data, recipe, compute)
    return room and memory.spread(recipe.strategy, find_processes(recipe).world_size).largest_batch(room)


def _finish(task: _Task) -> FitSummary:
    """Load the weights of the best step, or of the last one, into the model and sum up the training."""
    last = newest_step(task.checkpoints)
    assert last is not None, "the last step always saves a checkpoint"
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
