"""The checkpoints of a run: the newest one and the best one, each whole or not there.

A checkpoint is one file where every process holds the whole model, and a folder of parts where each process
holds a part of the weights (``fsdp``). One form is made into the other when a run goes on with the other
strategy.
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
    """Saves every ``checkpoint_every`` steps, after a step that is the best so far, and after the last one,
    also where a signal or the recipe's patience makes it the last. Keeps the newest checkpoint and the best.

    A step whose loss is not finite is not saved. A checkpoint gets its name when it is whole, and older ones
    are removed only then: a run that is killed at any moment finds the last checkpoint that it had.
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
    """The newest whole checkpoint in ``folder``; None where there is none.

    Raises OutputError: it was damaged since, or holds more than data.
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
    """The checkpoint at ``path`` if the recipe's strategy reads its form; else a copy beside it in the other
    form, which is removed when the next checkpoint is saved.
    """
    if path.is_dir() == (recipe.strategy == "fsdp"):
        return path
    copy = path.with_name(f".{path.name}.converted")
    with as_data(path):
        content = _joined(path) if path.is_dir() else _named(path, model, recipe)
    torch.save(content, copy)
    return copy


def read_callbacks(path: Path) -> dict[str, Any]:
    """The states that the callbacks of a run saved in a checkpoint, by their names. Raises OutputError."""
    rest = read_rest(path)
    with as_data(path):
        callbacks: dict[str, Any] = rest["callbacks"]
    return callbacks


def load_weights(model: nn.Module, path: Path) -> None:
    """Load into ``model`` the weights that a checkpoint keeps, or their averages where the run averages them;
    weights that it does not keep stay as they are. A checkpoint in parts is put together in this process.

    Raises OutputError: the checkpoint is damaged, or holds more than data.
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
    """Wait until the content of a file, or of all files of a folder, is on the disk, so that no checkpoint
    gets its name before that.
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
    """The content of a folder of parts, as one file holds it. Parts name the optimiser's states after their
    weights; in one file they are numbered in the order of the optimiser's groups.
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
    """The content of one file, as parts hold it: the optimiser's states named after their weights. Lightning
    would number the weights in the order of the model.
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
