"""Callbacks after each step: they remember the best step, write a row of the log and show the progress."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from biofm.core.errors import OutputError
from biofm.core.progress import RunProgress
from biofm.training.log import append_row, keep_rows
from biofm.training.module import TrainingModule
from biofm.training.objectives import Example
from biofm.training.optimizers import rate_factor
from biofm.training.recipe import Recipe
from biofm.training.steps import Step, StepCallback
from biofm.training.throughput import Speed, Throughput


class Best(StepCallback):
    """Remembers the step with the lowest validation loss, and stops the run early.

    The run ends when ``patience`` validations in a row did not lower the loss; a patience of 0 never ends it.
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


class Speedometer(Callback):
    """Measures the speed of training. Its clock stands still during validation."""

    def __init__(self, throughput: Throughput, n_steps: int) -> None:
        self.throughput = throughput
        self.n_steps = n_steps
        self._pauses = ExitStack()

    def measure(self, step: int) -> Speed:
        """Measure the speed since the last call."""
        return self.throughput.measure(step, self.n_steps)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.throughput.start(trainer.global_step)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Example, batch_idx: int
    ) -> None:
        self.throughput.add(batch.batch, batch.rows)

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._pauses.enter_context(self.throughput.paused())

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._pauses.close()


class MetricsLog(StepCallback):
    """Appends a row to ``metrics.csv`` every ``log_every`` steps and after each validation.

    The loss of a row is the mean over all targets of the steps since the last row; tokens are counted from
    the start of the run. The trainer's loggers get the same rows, and ``progress`` shows a short form.

    A resumed run drops the rows that the interrupted one wrote after its last checkpoint, then appends to the
    same file.
    """

    def __init__(self, path: Path, recipe: Recipe, speedometer: Speedometer, progress: RunProgress) -> None:
        self.path = path
        self.recipe = recipe
        self.speedometer = speedometer
        self.progress = progress
        self.tokens = 0
        self._losses: list[tuple[Tensor, Tensor]] = []  # each step's loss and its number of targets
        self._detail = ""

    def state_dict(self) -> dict[str, Any]:
        losses = [(float(loss), float(n_judged)) for loss, n_judged in self._losses]
        return {"tokens": self.tokens, "losses": losses}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens = state["tokens"]
        if not all(isinstance(one, tuple | list) for one in state["losses"]):
            what = "the last checkpoint is from an earlier version of biofm, which this version cannot resume"
            remedy = "Resume the run with that version, or start it again in another folder"
            raise OutputError(what, where=str(self.path), remedy=remedy)
        self._losses = [(torch.tensor(loss), torch.tensor(n)) for loss, n in state["losses"]]

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.is_global_zero:
            keep_rows(self.path, trainer.global_step)

    def on_step_end(self, trainer: Trainer, module: TrainingModule, step: Step) -> None:
        self.tokens += step.n_tokens
        self._losses.append((step.loss, step.n_judged))
        if step.number % self.recipe.log_every == 0 or step.validation_loss is not None:
            self._write(trainer, step)
        if trainer.is_global_zero:
            self.progress("training", step.number, self.recipe.n_steps, self._detail)

    def _rate(self, trainer: Trainer, number: int) -> float:
        """Return the highest learning rate of this step. The optimiser already holds that of the next one."""
        highest: float = max(group["initial_lr"] for group in trainer.optimizers[0].param_groups)
        return highest * rate_factor(self.recipe, number - 1)

    def _write(self, trainer: Trainer, step: Step) -> None:
        first = step.number - len(self._losses) + 1
        for number, (one, _) in enumerate(self._losses, start=first):
            step._replace(number=number, loss=one, validation_loss=None).finite_loss()
        step.finite_loss()
        n_judged = sum(float(n) for _, n in self._losses)
        loss = sum(float(loss) * float(n) for loss, n in self._losses) / max(1.0, n_judged)
        speed = self.speedometer.measure(step.number)
        row = {
            "tokens": self.tokens,
            "loss": loss,
            "validation_loss": step.validation_loss,
            "learning_rate": self._rate(trainer, step.number),
            "tokens_per_second": speed.tokens_per_second,
            "mfu": speed.mfu,
            "memory_bytes": speed.memory_bytes,
        }
        known = {name: value for name, value in row.items() if value is not None}
        if trainer.is_global_zero:
            append_row(self.path, {"step": step.number} | known)
        for logger in trainer.loggers:
            logger.log_metrics(known, step.number)
        self._losses.clear()
        self._detail = speed.describe(loss)
