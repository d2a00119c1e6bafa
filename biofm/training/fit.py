"""The trainer: from weights and batches to trained weights, checkpoints and a log."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch import nn

from biofm.core.configuration import option_of
from biofm.core.errors import OptionError
from biofm.inference import Compute
from biofm.training.arithmetic import arithmetic_of_model
from biofm.training.blocks import prepared_blocks
from biofm.training.callbacks import Best, MetricsLog, Speedometer
from biofm.training.checkpoints import (
    Checkpoints,
    checkpoint_path,
    load_weights,
    newest_step,
    read_checkpoint,
)
from biofm.training.conversion import as_read
from biofm.training.crew import meet
from biofm.training.data import PackedData
from biofm.training.faults import clear_floor, one_message
from biofm.training.interruption import Interruption
from biofm.training.loggers import close_loggers, make_loggers
from biofm.training.metrics import METRICS
from biofm.training.module import TrainingModule
from biofm.training.objectives import Objective
from biofm.training.peak import peak_flops
from biofm.training.processes import Processes, find_processes
from biofm.training.progress import Progress
from biofm.training.recipe import Recipe
from biofm.training.steps import Steps
from biofm.training.strategy import choose_strategy
from biofm.training.throughput import Throughput

CHECKPOINTS = "checkpoints"
ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


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
    progress: Progress,
) -> FitSummary:
    """Train ``model`` in place.

    The newest checkpoint in ``folder`` is resumed: same batches, same masks, same optimiser state. It is
    saved between steps alone, never amid one, so that a resumed run is the uninterrupted one to the last
    bit. At the end the model has the weights of the best step, or of the last one where none was judged.

    The weights stay in float32; in bfloat16 the products alone are computed.

    Raises KeyboardInterrupt or SystemExit at the end of the step in which SIGINT or SIGTERM came.
    """
    crew = meet(recipe)
    checkpoints = folder / CHECKPOINTS
    begun, state = crew.from_main(lambda: _begin(model, checkpoints, recipe))
    if begun is None or begun < recipe.n_steps:
        trained = deepcopy(model) if recipe.strategy == "fsdp" else model
        module = TrainingModule(trained.float().train(), objective, recipe)
        interruption = Interruption(is_main=crew.is_main)
        with interruption.deferred(), one_message(crew, checkpoints), _silence():
            _train(module, data, recipe, compute, folder, state, progress, interruption)
    return crew.from_main(lambda: _finish(model, recipe, checkpoints))


def _begin(model: nn.Module, checkpoints: Path, recipe: Recipe) -> tuple[int | None, Path | None]:
    """The step to go on from, and its state in the form that the strategy reads."""
    checkpoints.mkdir(exist_ok=True)
    clear_floor(checkpoints)
    begun = newest_step(checkpoints)
    if begun is None:
        return None, None
    state = checkpoint_path(checkpoints, begun)
    return begun, as_read(state, model, recipe) if begun < recipe.n_steps else state


def _train(
    module: TrainingModule,
    data: PackedData,
    recipe: Recipe,
    compute: Compute,
    folder: Path,
    state: Path | None,
    progress: Progress,
    interruption: Interruption,
) -> None:
    """From the step on that ``state`` is of."""
    seed_everything(recipe.seed, verbose=False)
    best, speedometer = Best(recipe.patience), _speedometer(module.model, recipe, compute)
    averages = [EMAWeightAveraging(decay=recipe.ema_decay, use_buffers=False)] if recipe.ema_decay else []
    callbacks = [
        *averages,
        best,
        speedometer,
        MetricsLog(folder / METRICS, recipe, speedometer, progress),
        Checkpoints(folder / CHECKPOINTS, recipe, best, interruption),
        Steps(recipe),
    ]
    is_judged = len(data.validation) > 0 and recipe.validate_every > 0
    first_step = 1 if state is None else read_checkpoint(state)["global_step"] + 1
    trainer = _trainer(recipe, compute, folder, callbacks, first_step, is_judged=is_judged)
    # Lightning's handler of SIGTERM calls the other processes amid whatever they do, and ends with status 0.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    try:
        with prepared_blocks(module.model, recipe, compute.device):
            trainer.fit(module, data, ckpt_path=state, weights_only=True)
    finally:
        close_loggers(trainer.loggers)


def _trainer(
    recipe: Recipe,
    compute: Compute,
    folder: Path,
    callbacks: list[Callback],
    first_step: int,
    *,
    is_judged: bool,
) -> Trainer:
    device = compute.device
    has_number = device.type == "cuda" and device.index is not None
    processes = find_processes(recipe)
    n_batches = batches_of_process(recipe, processes)
    return Trainer(
        max_steps=recipe.n_steps,
        max_epochs=-1,
        accumulate_grad_batches=n_batches,
        val_check_interval=recipe.validate_every * n_batches if is_judged else None,
        check_val_every_n_epoch=None,
        limit_val_batches=None if is_judged else 0,
        num_sanity_val_steps=0,
        accelerator=ACCELERATORS[device.type],
        devices=[device.index] if has_number and processes.n_local == 1 else processes.n_local,
        num_nodes=processes.n_nodes,
        strategy=choose_strategy(recipe, processes),
        precision="bf16-mixed" if compute.dtype is torch.bfloat16 else "32-true",
        gradient_clip_val=recipe.clip_norm or None,
        use_distributed_sampler=False,
        logger=make_loggers(recipe, folder, first_step) if processes.is_main else [],
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=callbacks,
        default_root_dir=folder,
    )


def batches_of_process(recipe: Recipe, processes: Processes) -> int:
    """Batches of a step that each process makes. Raises OptionError where they cannot be shared out."""
    n_batches, rest = divmod(recipe.batches_per_step, processes.world_size)
    if rest:
        raise OptionError(
            f"{processes.world_size} processes cannot share the {recipe.batches_per_step} batches of a step",
            where=option_of(type(recipe), "batches_per_step"),
            remedy=f"Give a multiple of {processes.world_size}",
        )
    return n_batches


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
    state = read_checkpoint(checkpoint_path(checkpoints, last))["callbacks"]
    best = Best(recipe.patience)
    best.load_state_dict(state[best.state_key])
    best_step = last if best.step is None else best.step
    load_weights(model, checkpoint_path(checkpoints, best_step))
    return FitSummary(
        n_steps=last,
        best_step=best_step,
        validation_loss=None if best.step is None else best.loss,
        stopped_early=best.has_stopped and last < recipe.n_steps,
    )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep Lightning's banner, tips and warnings off the terminal, which is for our progress and errors.

    The warnings are about choices made here (no workers, a folder with files in it) or about code of its own.
    """
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
