"""Lightning's trainer: a recipe decides its strategy for several processes, its loggers and its limits."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.constants import default_pg_timeout
from torch.optim import Optimizer

from biofm.inference import Compute
from biofm.training.parts import as_data, load_parts, read_rest
from biofm.training.processes import Crew, batches_of_process, keep_to_ourselves, rendezvous
from biofm.training.recipe import Recipe
from biofm.training.weights_and_biases import check_wandb, wandb_logger

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
    """Make the trainer of the run in ``folder``.

    Args:
        recipe: The settings of the run.
        compute: The device and the number format.
        folder: The folder of the run.
        callbacks: Lightning's callbacks, in the order in which they are called.
        first_step: The number of the next step.
        is_judged: Whether there is a validation set and the recipe validates.
    """
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
        logger=_make_loggers(recipe, folder, first_step) if processes.is_main else [],
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=callbacks,
        default_root_dir=folder,
    )
    # Lightning's handler of SIGTERM interrupts the other processes at any moment, and exits with status 0.
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    return trainer


def close_loggers(loggers: Iterable[Logger]) -> None:
    """Finish the log of this run at Weights & Biases.

    It would otherwise stay open until the process ends, and get the rows of the process's next run too.
    """
    for logger in loggers:
        if not isinstance(logger, TensorBoardLogger):
            logger.experiment.finish()  # type: ignore[attr-defined]  # typed by none of Lightning's loggers


@contextmanager
def silence() -> Iterator[None]:
    """Keep Lightning's banner, tips and warnings off the terminal, which shows biofm's progress and errors.

    The warnings concern choices that biofm makes (no workers, a folder with files in it) or Lightning's code.
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


class CopiesStrategy(DDPStrategy):
    """Makes Lightning's DDP, which keeps a copy of the model in every process, use biofm's process group."""

    def __init__(self, crew: Crew) -> None:
        super().__init__()
        self._crew = crew

    def setup_environment(self) -> None:
        self._crew.begin_group(self.root_device, self._timeout or default_pg_timeout)
        super().setup_environment()


class SpreadStrategy(ModelParallelStrategy):
    """Makes Lightning's FSDP2, which spreads the weights over the processes, use biofm's process group.

    It reads checkpoints in parts as data, so that they cannot run code.
    """

    def __init__(self, crew: Crew) -> None:
        super().__init__(data_parallel_size=crew.processes.world_size, tensor_parallel_size=1)
        self._crew = crew

    def setup_environment(self) -> None:
        self._crew.begin_group(self.root_device, self._timeout or default_pg_timeout)
        super().setup_environment()
        keep_to_ourselves(self._crew.processes)  # FSDP2's device mesh has opened a group of its own

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        path = Path(checkpoint_path)
        if not path.is_dir():
            whole: dict[str, Any] = super().load_checkpoint(path, weights_only=True)
            return whole
        assert self.model is not None
        state = {"state_dict": get_model_state_dict(self.model)}
        load_parts(state, path)
        with as_data(path):
            self.model.load_state_dict(state["state_dict"])
        for number, optimizer in enumerate(self.optimizers):
            self._load_optimizer(optimizer, f"optimizer_{number}", path)
        return read_rest(path)

    def _load_optimizer(self, optimizer: Optimizer, name: str, path: Path) -> None:
        assert self.model is not None
        state = {name: get_optimizer_state_dict(self.model, optimizer)}
        load_parts(state, path)
        options = StateDictOptions(cpu_offload=True)
        with as_data(path):
            set_optimizer_state_dict(self.model, optimizer, optim_state_dict=state[name], options=options)


def _choose_strategy(recipe: Recipe, crew: Crew) -> Strategy | str:
    """Choose between one process, copies of the model (DDP) and weights spread over processes (FSDP2)."""
    if recipe.strategy == "fsdp":
        return SpreadStrategy(crew)
    if crew.processes.world_size > 1 or recipe.strategy == "ddp":
        return CopiesStrategy(crew)
    return "auto"


def _make_loggers(recipe: Recipe, folder: Path, first_step: int) -> list[Logger]:
    """Make the loggers: TensorBoard, and Weights & Biases if the recipe names a project there.

    TensorBoard writes into ``folder/tensorboard``. What an interrupted run logged from ``first_step`` on is
    dropped there.

    Raises:
        MissingExtraError: The recipe asks for Weights & Biases, which is not installed.
        OptionError: Weights & Biases refuses the run, for example without a key.
    """
    check_wandb(recipe)
    tensorboard = TensorBoardLogger(
        folder, name="tensorboard", version="", default_hp_metric=False, purge_step=first_step
    )
    return [tensorboard, *([wandb_logger(recipe, folder)] if recipe.wandb else [])]
