"""What a run does after each step: it notes the best one, writes a row, and tells how far it is."""

import time
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor

from biofm.training.metrics import append_metrics, keep_metrics
from biofm.training.module import TrainingModule
from biofm.training.progress import Progress
from biofm.training.recipe import Recipe
from biofm.training.steps import Step, StepCallback


class Best(StepCallback):
    """Remembers the step with the lowest validation loss, and ends the run when ``patience`` judgements in a
    row found none lower.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.step: int | None = None
        self.loss = float("inf")
        self.n_waited = 0

    @property
    def has_stopped(self) -> bool:
        return bool(self.patience) and self.n_waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "loss": self.loss, "n_waited": self.n_waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.loss, self.n_waited = state["step"], state["loss"], state["n_waited"]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        trainer.should_stop |= self.has_stopped

    def on_step_end(self, trainer: Trainer, module: TrainingModule, step: Step) -> None:
        if step.validation_loss is None:
            return
        if step.validation_loss < self.loss:
            self.step, self.loss, self.n_waited = step.number, step.validation_loss, 0
        else:
            self.n_waited += 1
        trainer.should_stop |= self.has_stopped


class MetricsLog(StepCallback):
    """Appends a row to ``metrics.csv`` every ``every`` steps and at each judgement: means over the steps
    since the last row, tokens since the start of the run. The trainer's loggers get the same rows.

    A resumed run drops the rows that the interrupted one wrote after its last checkpoint, then goes on in the
    same file.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path = path
        self.every = every
        self.tokens = 0
        self._losses: list[Tensor] = []
        self._since = (0, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "losses": [float(loss) for loss in self._losses]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens = state["tokens"]
        self._losses = [torch.tensor(loss) for loss in state["losses"]]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.is_global_zero:
            keep_metrics(self.path, trainer.global_step)
        self._since = (self.tokens, time.monotonic())

    def on_step_end(self, trainer: Trainer, module: TrainingModule, step: Step) -> None:
        self.tokens += step.n_tokens
        self._losses.append(step.loss)
        if step.number % self.every and step.validation_loss is None:
            return
        tokens, began = self._since
        now = time.monotonic()
        row: dict[str, float] = {
            "tokens": self.tokens,
            "loss": sum(map(float, self._losses)) / len(self._losses),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "tokens_per_second": round((self.tokens - tokens) / (now - began)),
        }
        if step.validation_loss is not None:
            row["validation_loss"] = step.validation_loss
        if trainer.is_global_zero:
            append_metrics(self.path, {"step": step.number} | row)
        for logger in trainer.loggers:
            logger.log_metrics(row, step.number)
        self._losses.clear()
        self._since = (self.tokens, now)


class Report(StepCallback):
    """Passes the steps on to whoever shows them."""

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.recipe = recipe
        self.progress = progress

    def on_step_end(self, trainer: Trainer, module: TrainingModule, step: Step) -> None:
        if trainer.is_global_zero:
            self.progress("training", step.number, self.recipe.n_steps)
