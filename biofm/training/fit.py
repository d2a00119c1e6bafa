"""The trainer: from weights and batches to trained weights, checkpoints and a log."""

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
from biofm.training.arithmetic import arithmetic_of_model
from biofm.training.blocks import prepared_blocks
from biofm.training.callbacks import Best, MetricsLog, Speedometer
from biofm.training.checkpoints import (
    Checkpoints,
    checkpoint_path,
    checkpoint_to_resume,
    load_weights,
    newest_step,
    read_callbacks,
)
from biofm.training.conversion import as_read
from biofm.training.crew import rendezvous
from biofm.training.data import PackedData
from biofm.training.estimate import training_room
from biofm.training.faults import clear_floor, one_message
from biofm.training.folder import CHECKPOINTS
from biofm.training.interruption import Interruption
from biofm.training.loggers import close_loggers
from biofm.training.metrics import METRICS
from biofm.training.module import TrainingModule
from biofm.training.objectives import Objective
from biofm.training.out_of_memory import give_back, memory_named
from biofm.training.peak import peak_flops
from biofm.training.processes import find_processes
from biofm.training.recipe import Recipe
from biofm.training.step_memory import measure_step
from biofm.training.steps import Steps
from biofm.training.throughput import Throughput
from biofm.training.trainer import make_trainer, silence


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSummary:
    """``n_steps``: that were made, of an interrupted and resumed run in all. ``best_step``: the one whose
    weights are kept, and its validation loss; the last one where no step was judged.
    """

    n_steps: int
    best_step: int
    validation_loss: float | None
    stopped_early: bool


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

    The newest checkpoint in ``folder`` is resumed: same batches, same masks, same optimiser state. It is
    saved between steps alone, never amid one, so that a resumed run is the uninterrupted one to the last
    bit. At the end the model has the weights of the best step, or of the last one where none was judged.

    The weights stay in float32; in bfloat16 the products alone are computed.

    Raises KeyboardInterrupt or SystemExit at the end of the step in which SIGINT or SIGTERM came.
    """
    crew = rendezvous(recipe)
    checkpoints = folder / CHECKPOINTS
    started, found = crew.from_main(lambda: _begin(model, checkpoints, recipe))
    state = Path(found) if found else None
    if started < recipe.n_steps:
        # What is spread over processes stays so: a copy is.
        trained = deepcopy(model) if recipe.strategy == "fsdp" else model
        module = TrainingModule(trained.float().train(), objective, recipe)
        interruption = Interruption(is_main=crew.is_main)
        room = training_room(model, recipe, compute)
        fitting = partial(_fitting, model, objective, data, recipe, compute, room)
        with (
            memory_named(recipe, compute, fitting),
            interruption.deferred(),
            one_message(crew, checkpoints),
            silence(),
        ):
            _train(module, data, recipe, compute, folder, started, state, progress, interruption)
    return FitSummary(**crew.from_main(lambda: asdict(_finish(model, recipe, checkpoints))))


def _begin(model: nn.Module, checkpoints: Path, recipe: Recipe) -> tuple[int, str | None]:
    """The step that is done, and where its state is in the form that the strategy reads.

    Raises ModelError where a weight to begin with is not finite.
    """
    if fault := find_fault(model):
        what = f"training cannot begin with these weights: {fault}"
        raise ModelError(what, where="the model", remedy=AGAIN)
    checkpoints.mkdir(exist_ok=True)
    clear_floor(checkpoints)
    started = newest_step(checkpoints) or 0
    state = checkpoint_to_resume(checkpoints)
    if state and started < recipe.n_steps:
        state = as_read(state, model, recipe)
    return started, str(state) if state else None


def _train(
    module: TrainingModule,
    data: PackedData,
    recipe: Recipe,
    compute: Compute,
    folder: Path,
    started: int,
    state: Path | None,
    progress: RunProgress,
    interruption: Interruption,
) -> None:
    best, speedometer = Best(recipe.patience), _speedometer(module.model, recipe, compute)
    averages = [EMAWeightAveraging(decay=recipe.ema_decay, use_buffers=False)] if recipe.ema_decay else []
    callbacks = [
        *averages,
        best,
        speedometer,
        MetricsLog(folder / METRICS, recipe, speedometer, progress),
        Checkpoints(folder / CHECKPOINTS, recipe, best, interruption, speedometer),
        Steps(recipe),
    ]
    is_judged = len(data.validation) > 0 and recipe.validate_every > 0
    trainer = make_trainer(recipe, compute, folder, callbacks, started + 1, is_judged=is_judged)
    try:
        with prepared_blocks(module.model, recipe, compute.device):
            trainer.fit(module, data, ckpt_path=state, weights_only=True)
    finally:
        close_loggers(trainer.loggers)


def _fitting(
    model: nn.Module,
    objective: Objective,
    data: PackedData,
    recipe: Recipe,
    compute: Compute,
    room: int | None,
) -> int | None:
    """The size of batches that the room allows which there was before training."""
    data.trainer = None  # which has the optimiser
    model.zero_grad()
    give_back(compute)
    memory = measure_step(model, objective, data, recipe, compute)
    return room and memory.spread(recipe.strategy, find_processes(recipe).world_size).largest_batch(room)


def _speedometer(model: nn.Module, recipe: Recipe, compute: Compute) -> Speedometer:
    throughput = Throughput(
        arithmetic_of_model(model),
        budget=recipe.tokens_per_batch,
        peak_flops=peak_flops(compute.device, compute.dtype),
        device=compute.device,
        n_processes=find_processes(recipe).world_size,
    )
    return Speedometer(throughput, recipe.n_steps)


def _finish(model: nn.Module, recipe: Recipe, checkpoints: Path) -> FitSummary:
    """Give ``model`` the weights that are kept."""
    last = newest_step(checkpoints)
    assert last is not None, "the last step is saved"
    best = Best(recipe.patience)
    best.load_state_dict(read_callbacks(checkpoint_path(checkpoints, last))[best.state_key])
    best_step = last if best.step is None else best.step
    load_weights(model, checkpoint_path(checkpoints, best_step))
    return FitSummary(
        n_steps=last,
        best_step=best_step,
        validation_loss=None if best.step is None else best.loss,
        stopped_early=best.has_stopped and last < recipe.n_steps,
    )
