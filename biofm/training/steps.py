"""A hook for whole steps, which Lightning lacks.

It is called when all batches of a step are done in all processes, and after the validation if one is due.
"""

from math import isfinite
from typing import Any, NamedTuple

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from biofm.core.errors import ModelError, OptionError
from biofm.training.module import TrainingModule
from biofm.training.recipe import Recipe


class Step(NamedTuple):
    """Holds the results of a finished step.

    Attributes:
        number: The number of the step, counted from 1.
        loss: The mean over the ``n_judged`` targets of its batches.
        n_judged: Targets in all processes together.
        n_tokens: Tokens in all processes together.
        validation_loss: The loss on the validation set; None if the step was not validated.
    """

    number: int
    loss: Tensor
    n_judged: Tensor
    n_tokens: int
    validation_loss: float | None

    def finite_loss(self) -> float:
        """Return the loss as a number, which waits for the device.

        Raises:
            OptionError: The loss or the validation loss is no longer finite. No later step would correct it.
            ModelError: The loss of the first step is not finite, before any weight was changed.
        """
        loss = float(self.loss)
        if self.number == 1 and not isfinite(loss):
            what = f"the loss of the first step is {loss}, before any weight was changed"
            remedy = "Give --dtype float32, or start from other weights: these are too large for this format"
            raise ModelError(what, where="the model", remedy=remedy)
        for name, value in (("loss", loss), ("validation loss", self.validation_loss)):
            if value is not None and not isfinite(value):
                remedy = "Start again with a smaller learning rate, or with a longer warm-up"
                what = f"the {name} of step {self.number} is {value}"
                raise OptionError(what, where="--learning-rate", remedy=remedy)
        return loss


class StepCallback(Callback):
    """Adds to Lightning's callback a method that is called after each whole step."""

    def on_step_end(self, trainer: Trainer, module: TrainingModule, step: Step) -> None:
        """Do what is due after a step, when weights, optimiser and counters agree.

        Every process calls this, in the order of its callbacks.
        """


class Steps(Callback):
    """Calls ``on_step_end`` of the other callbacks.

    It must be the last of the callbacks, so that the others have seen the batch before. A step that is
    validated ends with its validation, which comes after its last batch.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self._losses: list[Tensor] = []
        self._n_tokens = 0
        self._n_done = 0
        self._step: Step | None = None

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._n_done = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(module, TrainingModule), "fit trains only this module"
        self._losses.append(outputs["loss"].detach())
        self._n_tokens += outputs["n_tokens"]
        if trainer.global_step == self._n_done:  # there are more batches in this step
            return
        self._n_done = trainer.global_step
        self._step = self._gather(trainer, module)
        if self._n_done == self.recipe.n_steps:
            trainer.should_stop = True  # Lightning validates the last step only with this flag
        if not self._is_judged(trainer):
            self._tell(trainer, module, None)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, TrainingModule), "fit trains only this module"
        self._tell(trainer, module, module.validation_loss)

    def _is_judged(self, trainer: Trainer) -> bool:
        is_due = trainer.should_stop or self._n_done % max(1, self.recipe.validate_every) == 0
        return bool(self.recipe.validate_every and trainer.enable_validation and is_due)

    def _gather(self, trainer: Trainer, module: TrainingModule) -> Step:
        """Sum the losses and tokens of all processes.

        Lightning has divided the losses by the number of batches of one process.
        """
        loss, n_tokens = torch.stack(self._losses).sum(), self._n_tokens
        if trainer.world_size > 1:
            loss = trainer.strategy.reduce(loss, reduce_op="mean")
            of_all = trainer.strategy.reduce(torch.tensor(n_tokens, device=loss.device), reduce_op="sum")
            n_tokens = int(of_all)
        self._losses.clear()
        self._n_tokens = 0
        return Step(self._n_done, loss * module.share_of_sums, module.n_judged, n_tokens, None)

    def _tell(self, trainer: Trainer, module: TrainingModule, validation_loss: float | None) -> None:
        assert self._step is not None, "a step was gathered before it is judged"
        step = self._step._replace(validation_loss=validation_loss)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set where mypy does not look
            if isinstance(callback, StepCallback):
                callback.on_step_end(trainer, module, step)
