"""Checkpoints: a run keeps the newest and the best one, and an incomplete one never has the final name.

A checkpoint is one file where every process holds the whole model, and a folder of parts where each process
holds a part of the weights (``fsdp``). A run that is resumed with the other strategy converts it.
"""

import os
import shutil
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from biofm.training.callbacks import Best, Speedometer
from biofm.training.folder import checkpoint_path, newest_step
from biofm.training.module import TrainingModule, changing_names
from biofm.training.optimizers import make_optimizer
from biofm.training.parts import PartsReader, as_data, load_parts, own_faults, read_parts, read_rest
from biofm.training.processes import Interruption
from biofm.training.recipe import Recipe
from biofm.training.steps import Step, StepCallback

_PARTIAL = ".partial"


class Checkpoints(StepCallback, Checkpoint):
    """Saves a checkpoint every ``checkpoint_every`` steps, after the best step so far and after the last.

    A signal or the recipe's patience can make a step the last one. The newest and the best checkpoint stay.

    A step whose loss is not finite is not saved. A checkpoint gets its final name when it is complete, and
    only then are older ones removed, so a run that is killed at any moment still has its last checkpoint.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        best: Best,
        interruption: Interruption,
        speedometer: Speedometer,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.best = best
        self.interruption = interruption
        self.speedometer = speedometer

    def on_step_end(self, trainer: Trainer, module: TrainingModule, step: Step) -> None:
        module.is_ending = self.interruption.has_come(trainer)
        is_last = module.is_ending or self.best.has_stopped or step.number == self.recipe.n_steps
        is_best = self.best.step == step.number
        if is_last or is_best or step.number % self.recipe.checkpoint_every == 0:
            step.finite_loss()
            with self.speedometer.throughput.paused():
                self._save(trainer, step.number)

    def _save(self, trainer: Trainer, number: int) -> None:
        path = checkpoint_path(self.folder, number)
        partial = path.with_name(f".{path.name}{_PARTIAL}")
        with own_faults():
            trainer.save_checkpoint(partial, weights_only=False)
        if trainer.is_global_zero:
            _bring_to_disk(partial)
            os.replace(partial, path)
            for other in self.folder.iterdir():
                if other not in (path, checkpoint_path(self.folder, self.best.step or 0)):
                    _remove(other)
        trainer.strategy.barrier("saved")


def checkpoint_to_resume(folder: Path) -> Path | None:
    """Return the newest complete checkpoint in ``folder``, or None without one.

    Raises:
        OutputError: The checkpoint is damaged, or holds more than data.
    """
    step = newest_step(folder)
    if step is None:
        return None
    path = checkpoint_path(folder, step)
    read_rest(path)
    if path.is_dir():
        PartsReader(path)
    return path


def as_read(path: Path, model: nn.Module, recipe: Recipe) -> Path:
    """Return a checkpoint in the form that the recipe's strategy reads.

    This is ``path`` itself, or a converted copy beside it, which is removed at the next save.
    """
    if path.is_dir() == (recipe.strategy == "fsdp"):
        return path
    copy = path.with_name(f".{path.name}.converted")
    with as_data(path):
        content = _joined(path) if path.is_dir() else _named(path, model, recipe)
    torch.save(content, copy)
    return copy


def read_callbacks(path: Path) -> dict[str, Any]:
    """Return the states that the callbacks of a run saved in a checkpoint, by the callbacks' names.

    Raises:
        OutputError: The checkpoint is damaged, or holds more than data.
    """
    rest = read_rest(path)
    with as_data(path):
        callbacks: dict[str, Any] = rest["callbacks"]
    return callbacks


def load_weights(model: nn.Module, path: Path) -> None:
    """Load the weights of a checkpoint into ``model``, or their averages where the run averages them.

    Weights that are not in the checkpoint stay as they are. A checkpoint in parts is assembled in this
    process.

    Raises:
        OutputError: The checkpoint is damaged, or holds more than data.
    """
    own = model.state_dict()
    names = {name: f"model.{name}" for name in changing_names(model)}
    if path.is_dir():
        state = {"state_dict": {stored: torch.empty_like(own[name]) for name, stored in names.items()}}
        load_parts(state, path, alone=True)
    else:
        state = read_rest(path)
    with as_data(path):
        weights = {name: state["state_dict"][stored] for name, stored in names.items()}
        model.load_state_dict(weights, strict=False)


def _bring_to_disk(path: Path) -> None:
    """Wait until a file, or all files of a folder, are on the disk.

    A checkpoint gets its final name only after that.
    """
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _joined(path: Path) -> dict[str, Any]:
    """Read a folder of parts and return the content that a checkpoint of one file would have.

    Parts name the optimiser's states after their weights; one file numbers them in the order of the
    optimiser's groups.
    """
    parts = read_parts(path)
    optimizer = parts["optimizer_0"]
    names = chain.from_iterable(group["params"] for group in optimizer["param_groups"])
    numbers = {name: number for number, name in enumerate(names)}
    return read_rest(path) | {
        "state_dict": parts["state_dict"],
        "optimizer_states": [_renamed(optimizer, numbers)],
    }


def _named(path: Path, model: nn.Module, recipe: Recipe) -> dict[str, Any]:
    """Read a checkpoint of one file and name the optimiser's states after their weights, as parts do.

    Lightning would number the weights in the order of the model instead of the optimiser's groups.
    """
    names = {id(weight): f"model.{name}" for name, weight in model.named_parameters()}
    groups = make_optimizer(model, recipe).param_groups
    weights = chain.from_iterable(group["params"] for group in groups)
    by_number = {number: names[id(weight)] for number, weight in enumerate(weights)}
    content = read_rest(path)
    return content | {"optimizer_states": [_renamed(content["optimizer_states"][0], by_number)]}


def _renamed(optimizer: dict[str, Any], names: dict[Any, Any]) -> dict[str, Any]:
    return {
        "state": {names[weight]: state for weight, state in optimizer["state"].items()},
        "param_groups": [
            group | {"params": [names[weight] for weight in group["params"]]}
            for group in optimizer["param_groups"]
        ],
    }
