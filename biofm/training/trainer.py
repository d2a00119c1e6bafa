"""Lightning's trainer, set up by a recipe, and kept quiet."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import Strategy

from biofm.inference import Compute
from biofm.training.crew import Crew, rendezvous
from biofm.training.loggers import make_loggers
from biofm.training.processes import batches_of_process
from biofm.training.recipe import Recipe
from biofm.training.strategies import CopiesStrategy, SpreadStrategy

ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def make_trainer(
    recipe: Recipe,
    compute: Compute,
    folder: Path,
    callbacks: list[Callback],
    first_step: int,
    *,
    is_judged: bool,
) -> Trainer:
    """``first_step``: the next one to be made. ``is_judged``: whether there is something to validate on."""
    device = compute.device
    has_number = device.type == "cuda" and device.index is not None
    crew = rendezvous(recipe)
    processes = crew.processes
    n_batches = batches_of_process(recipe, processes)
    trainer = Trainer(
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
        strategy=_choose_strategy(recipe, crew),
        precision="bf16-mixed" if compute.dtype is torch.bfloat16 else "32-true",
        gradient_clip_val=recipe.clip_norm or None,
        use_distributed_sampler=False,
        logger=make_loggers(recipe, folder, first_step) if processes.is_main else [],
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=callbacks,
        default_root_dir=folder,
    )
    # Lightning's handler of SIGTERM calls the other processes amid whatever they do, and ends with status 0.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


@contextmanager
def silence() -> Iterator[None]:
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


def _choose_strategy(recipe: Recipe, crew: Crew) -> Strategy | str:
    """One process alone; copies of the model (DDP); or its weights spread over the processes (FSDP2)."""
    if recipe.strategy == "fsdp":
        return SpreadStrategy(crew)
    if crew.processes.world_size > 1 or recipe.strategy == "ddp":
        return CopiesStrategy(crew)
    return "auto"
