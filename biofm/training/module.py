"""The LightningModule of every training: it joins a model, its objective, its optimiser and its schedule."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from biofm.core.errors import OptionError
from biofm.nn import Encoder, compile_blocks, recompute_blocks, restore_blocks, shard
from biofm.training.objectives import Example, Objective
from biofm.training.optimizers import make_optimizer, rate_factor
from biofm.training.recipe import Recipe

_DROPOUT = 2  # a stream of random numbers independent of those in ``biofm.training.batches``


def changing_names(model: nn.Module) -> set[str]:
    """Return the names of the weights and buffers that training changes, as in the model's state."""
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    return set(model.state_dict()) - frozen


class TrainingModule(LightningModule):
    """Trains ``model`` in place.

    The loss of a step is the mean over the targets of all its batches in all processes. Each process sums
    the losses of its own targets. Before the gradients are clipped, they are divided by the number of all
    targets.

    Attributes:
        is_ending: Ends the run before its next step when it is set.
        n_judged: Targets of the last step in all processes together.
    """

    def __init__(self, model: nn.Module, objective: Objective, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.recipe = recipe
        self.strict_loading = False  # a checkpoint lacks frozen weights
        self.is_ending = False
        self.validation_loss: float | None = None
        self.n_judged = torch.ones(())
        self._n_own = 0  # targets in the batches of this process since the last step
        self._is_spread = False
        self._sums: Tensor | None = None  # the sum of the losses and the sum of their weights

    def on_train_start(self) -> None:
        """Set the learning rate of the next step.

        The rate in the checkpoint is wrong if ``n_steps`` was changed since.
        """
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * rate_factor(self.recipe, self.trainer.global_step)

    def on_train_batch_start(self, batch: Example, batch_idx: int) -> int | None:
        """Seed dropout by the place of the batch in the run, so that a resumed run draws the same numbers.

        Returns -1 if the run must end, which makes Lightning stop the training.
        """
        if self.is_ending:
            self.trainer.should_stop = True
            return -1
        number = batch_idx * self.trainer.world_size + self.trainer.global_rank  # of all processes
        torch.manual_seed(int(np.random.default_rng((self.recipe.seed, _DROPOUT, number)).integers(1 << 62)))
        return None

    def training_step(self, batch: Example, batch_idx: int) -> dict[str, Any]:
        self._n_own += batch.n_judged
        loss = self.objective.loss(self.model, batch) * batch.n_judged
        return {"loss": loss, "n_tokens": len(batch.batch.tokens)}

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Scale the gradients to those of the mean loss over all targets.

        Lightning has computed those of the mean, over all batches, of each batch's summed loss.
        """
        own = torch.tensor(float(self._n_own), device=self.device)
        is_alone = self.trainer.world_size == 1
        self.n_judged = own if is_alone else self.trainer.strategy.reduce(own, reduce_op="sum")
        self._n_own = 0
        share = self.share_of_sums
        for weight in self.model.parameters():
            if weight.grad is not None:
                gradient = weight.grad.to_local() if isinstance(weight.grad, DTensor) else weight.grad
                gradient.mul_(share)

    @property
    def share_of_sums(self) -> Tensor:
        """The factor that turns the mean of all batches' sums into the mean over all targets."""
        n_batches = self.trainer.accumulate_grad_batches * self.trainer.world_size
        return n_batches / self.n_judged.clamp_min(1)

    def on_validation_epoch_start(self) -> None:
        self._sums = torch.zeros(2, device=self.device)

    def validation_step(self, batch: Example, batch_idx: int) -> None:
        assert self._sums is not None, "Lightning begins an epoch before its batches"
        weight = batch.n_judged
        loss = self.objective.loss(self.model, batch).detach().float()
        self._sums += torch.stack([loss * weight, loss.new_tensor(weight)])

    def on_validation_epoch_end(self) -> None:
        total, weight = self.trainer.strategy.reduce(self._sums, reduce_op="sum")
        self.validation_loss = float(total / weight.clamp_min(1))

    def configure_model(self) -> None:
        """Spread the weights over the processes where the strategy does so. Lightning may call this twice."""
        mesh = self.device_mesh
        if mesh is not None and not self._is_spread:
            shard(self.model, mesh["data_parallel"])
            self._is_spread = True

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = make_optimizer(self.model, self.recipe)
        schedule = LambdaLR(optimizer, partial(rate_factor, self.recipe))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out frozen weights, such as those of the model under adapters.

        Where weights are averaged or spread over processes, all stay, because Lightning expects them.
        """
        if not self._is_spread and "averaging_state" not in checkpoint:
            kept = {f"model.{name}" for name in changing_names(self.model)}
            state = checkpoint["state_dict"]
            checkpoint["state_dict"] = {name: weight for name, weight in state.items() if name in kept}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Set the counters of batches for the present number of processes.

        A checkpoint is saved after a whole step, perhaps by another number of processes.
        """
        n_steps = checkpoint["global_step"]
        n_batches = n_steps * self.trainer.accumulate_grad_batches
        loop = checkpoint["loops"]["fit_loop"]
        counters = dict.fromkeys(("ready", "started", "processed", "completed"), n_batches)
        loop["epoch_loop.batch_progress"] = {
            "total": dict(counters), "current": dict(counters), "is_last_batch": False
        }  # fmt: skip
        loop["epoch_loop.state_dict"] = {"_batches_that_stepped": n_steps}


@contextmanager
def prepared_blocks(model: nn.Module, recipe: Recipe, device: torch.device) -> Iterator[None]:
    """Compile the blocks of the encoder or make them recompute activations, as the recipe says.

    They change back at the end of the ``with``.

    Raises:
        OptionError: The recipe asks for compiled blocks, and this machine has no compiler.
    """
    if recipe.compile:
        _check_compiler(device)
    encoders = [part for part in model.modules() if isinstance(part, Encoder)]
    try:
        for encoder in encoders:
            if recipe.activation_checkpointing:
                recompute_blocks(encoder)
            if recipe.compile:
                compile_blocks(encoder)
        yield
    finally:
        for encoder in encoders:
            restore_blocks(encoder)


def _check_compiler(device: torch.device) -> None:
    """Raise OptionError if torch lacks the compiler that it needs: C++ for a CPU, Triton for a GPU."""
    remedy = "Install it, or leave compile = true out"
    if device.type == "cuda" and find_spec("triton") is None:
        raise OptionError("Triton is not installed", where="--set compile", remedy=remedy)
    if device.type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler  # takes a second to import

        try:
            get_cpp_compiler()
        except RuntimeError as error:
            what = "there is no C++ compiler on this machine"
            raise OptionError(what, where="--set compile", remedy=remedy) from error
