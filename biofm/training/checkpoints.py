"""The checkpoints of a run: the newest one and the best one, each whole or not there."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import nn

from biofm.training.callbacks import Best, Speedometer
from biofm.training.interruption import Interruption
from biofm.training.module import TrainingModule, changing_names
from biofm.training.parts import PartsReader, as_data, load_parts, own_faults, read_rest
from biofm.training.recipe import Recipe
from biofm.training.steps import Step, StepCallback

_NAME = re.compile(r"step-(\d+)\.ckpt")
_PARTIAL = ".partial"


class Checkpoints(StepCallback, Checkpoint):
    """Saves every ``every`` steps, at a best one and at the last one, be it that the run is to end after
    it; keeps the newest and the best.

    What has no loss any more is not saved. A checkpoint gets its name when it is whole, and older ones go
    only then: a run that is killed at any moment finds the last one that it had.
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


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09}.ckpt"


def newest_step(folder: Path) -> int | None:
    """The step of the newest whole checkpoint; None where there is none."""
    names = (_NAME.fullmatch(path.name) for path in folder.glob("step-*.ckpt"))
    return max((int(name[1]) for name in names if name), default=None)


def checkpoint_to_resume(folder: Path) -> Path | None:
    """The newest whole checkpoint. Raises OutputError where it was damaged since, or holds more than data."""
    step = newest_step(folder)
    if step is None:
        return None
    path = checkpoint_path(folder, step)
    read_rest(path)
    if path.is_dir():
        PartsReader(path)
    return path


def read_callbacks(path: Path) -> dict[str, Any]:
    """What the callbacks of a run remembered in a checkpoint, by their names."""
    rest = read_rest(path)
    with as_data(path):
        callbacks: dict[str, Any] = rest["callbacks"]
    return callbacks


def load_weights(model: nn.Module, path: Path) -> None:
    """The weights that a checkpoint keeps, averaged ones where weights are averaged, into ``model``, whose
    others stay. A checkpoint in parts is put together here, in this process alone.
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
    """What a file or a folder of files holds, so that a name is never given to what is not there."""
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
