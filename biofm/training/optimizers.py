"""Optimisers and schedules: how the weights are updated, and the learning rate of each step."""

from collections.abc import Callable, Iterator
from math import cos, pi
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from biofm.nn import Encoder
from biofm.training.recipe import Recipe

BETAS, EPSILON = (0.9, 0.98), 1e-8
MOMENTUM = 0.95


class Joined(Optimizer):
    """Joins several optimisers into one, because a Lightning module has a single optimiser.

    The parts share their groups and their state with this object, so that schedules, clipping and checkpoints
    treat it like any other optimiser.
    """

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a checkpoint, which brings new groups and a new state, and share these with the parts."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Make the optimiser of the weights that learn.

    Muon or AdamW, with weight decay, updates the matrices of the blocks; AdamW without decay updates the
    other weights. Muon's updates have the size of AdamW's, so that both take the same learning rate (Liu et
    al. 2025, section 2.2).
    """
    is_matrix = {id(weight) for weight in matrices(model)}
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    of_blocks = [weight for weight in weights if id(weight) in is_matrix]
    others = [weight for weight in weights if id(weight) not in is_matrix]
    groups = _groups(model, of_blocks, recipe, recipe.weight_decay), _groups(model, others, recipe, 0.0)
    rate = recipe.learning_rate
    if recipe.optimizer == "adamw" or not of_blocks:
        return AdamW(groups[0] + groups[1], rate, BETAS, EPSILON)
    muon = Muon(groups[0], rate, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
    return Joined(muon, AdamW(groups[1], rate, BETAS, EPSILON)) if others else muon


def _groups(
    model: nn.Module, weights: list[nn.Parameter], recipe: Recipe, decay: float
) -> list[dict[str, Any]]:
    """Group these weights into the encoder's and the others, each group with its learning rate."""
    encoders = (part for part in model.modules() if isinstance(part, Encoder))
    of_encoder = {id(weight) for encoder in encoders for weight in encoder.parameters()}
    within = [weight for weight in weights if id(weight) in of_encoder]
    without = [weight for weight in weights if id(weight) not in of_encoder]
    rates = recipe.learning_rate * recipe.encoder_rate, recipe.learning_rate
    return [
        {"params": params, "lr": rate, "weight_decay": decay}
        for params, rate in zip((within, without), rates, strict=True)
        if params
    ]


def matrices(model: nn.Module) -> Iterator[Tensor]:
    """Yield the weights of the linear layers in the model's blocks."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and "blocks" in name.split("."):
            yield module.weight


def rate_factor(recipe: Recipe, step: int) -> float:
    """Return the factor of the learning rate in a step, between 0 and 1; ``step`` counts from 0.

    As in ``transformers``, both schedules reach 0 one step after the last, so the last step still learns.
    """
    if recipe.schedule == "cosine":
        return warmup_cosine(step, n_steps=recipe.n_steps, n_warmup=recipe.n_warmup)
    return warmup_stable_decay(
        step, n_steps=recipe.n_steps, n_warmup=recipe.n_warmup, decay_share=recipe.decay_share
    )


def warmup_stable_decay(step: int, *, n_steps: int, n_warmup: int, decay_share: float) -> float:
    """Return a factor that rises linearly to 1, stays, and falls linearly towards 0.

    It falls over the last ``decay_share`` of the steps. The constant part allows resuming a run with more or
    fewer steps (Hu et al. 2024, MiniCPM, section 4).
    """
    n_decay = max(1, round(n_steps * decay_share))
    return max(0.0, min(1.0, (step + 1) / max(1, n_warmup), (n_steps - step) / n_decay))


def warmup_cosine(step: int, *, n_steps: int, n_warmup: int) -> float:
    """Return a factor that rises linearly to 1, then falls along half a cosine to 0 after the last step.

    Source: Loshchilov and Hutter 2017.
    """
    if step < n_warmup:
        return (step + 1) / n_warmup
    done = (step - n_warmup) / max(1, n_steps - n_warmup)
    return 0.5 * (1 + cos(pi * min(1.0, done)))
