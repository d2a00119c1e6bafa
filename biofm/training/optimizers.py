"""torch's own optimisers, one for the matrices of a model's blocks and one for the rest, joined into one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer

from biofm.training.recipe import Recipe

BETAS, EPSILON = (0.9, 0.98), 1e-8
MOMENTUM = 0.95


class Joined(Optimizer):
    """Several optimisers that step as one: a Lightning module steps one.

    Their groups and their state are this one's, so that schedules, clipping and checkpoints see an optimiser
    like any other.
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
        """From a checkpoint, which brings groups and state anew."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for part in self.parts:
            part.param_groups = [next(groups) for _ in part.param_groups]
            part.state = self.state


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Of the weights that learn: Muon or AdamW with decay on the matrices of the blocks, AdamW without
    decay on the others.

    Muon's updates have the size of AdamW's, so that both take the same learning rate (Liu et al. 2025,
    section 2.2).
    """
    is_matrix = {id(weight) for weight in matrices(model)}
    weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    of_blocks = {name: weight for name, weight in weights.items() if id(weight) in is_matrix}
    rest = {name: weight for name, weight in weights.items() if name not in of_blocks}
    others = _groups(rest, recipe, 0.0)
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "adamw" or not of_blocks:
        return AdamW(_groups(of_blocks, recipe, decay) + others, rate, BETAS, EPSILON)
    muon = Muon(_groups(of_blocks, recipe, decay), rate, decay, MOMENTUM, adjust_lr_fn="match_rms_adamw")
    return Joined(muon, AdamW(others, rate, BETAS, EPSILON, weight_decay=0.0)) if others else muon


def _groups(weights: Mapping[str, nn.Parameter], recipe: Recipe, decay: float) -> list[dict[str, Any]]:
    """A group for each learning rate."""
    by_rate: dict[float, list[nn.Parameter]] = {}
    for name, weight in weights.items():
        by_rate.setdefault(recipe.rate_of(name), []).append(weight)
    return [{"params": some, "lr": rate, "weight_decay": decay} for rate, some in by_rate.items()]


def matrices(model: nn.Module) -> Iterator[Tensor]:
    """The weights of the linear layers in the model's blocks."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and "blocks" in name.split("."):
            yield module.weight
