"""Muon: momentum, orthogonalised, for the matrices of a model's blocks (Jordan et al. 2024), and AdamW for
the rest.

torch's own ``torch.optim.Muon`` computes in bfloat16, which a processor without such instructions emulates at
a tenth of the speed, and it takes matrices only; a Lightning module steps one optimiser.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the quintic iteration
NEWTON_SCHULZ_STEPS = 5
UPDATE_RMS = (
    0.2  # of an AdamW update, so that both halves share a learning rate (Liu et al. 2025, section 2.2)
)
MOMENTUM = 0.95
BETAS, EPSILON = (0.9, 0.98), 1e-8


class Muon(Optimizer):
    """One step moves ``matrices`` along their orthogonalised Nesterov momentum and ``others`` as AdamW does,
    without decay.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        *,
        lr: float,
        weight_decay: float,
    ) -> None:
        groups = [
            {"params": list(matrices), "orthogonal": True, "weight_decay": weight_decay},
            {"params": list(others), "orthogonal": False, "weight_decay": 0.0},
        ]
        super().__init__(groups, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if group["orthogonal"]:
                self._step_matrices(weights, group["lr"], group["weight_decay"])
            else:
                self._step_others(weights, group["lr"])
        return loss

    def _step_matrices(self, weights: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        """Matrices of one shape are orthogonalised together."""
        updates: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = defaultdict(list)
        for weight in weights:
            assert weight.grad is not None
            momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
            momentum.lerp_(weight.grad, 1 - MOMENTUM)
            updates[weight.shape].append((weight, weight.grad.lerp(momentum, MOMENTUM)))
        for shape, members in updates.items():
            directions = orthogonalise(torch.stack([update for _, update in members]))
            step_size = lr * UPDATE_RMS * max(shape) ** 0.5
            for (weight, _), direction in zip(members, directions, strict=True):
                weight.mul_(1 - lr * weight_decay).add_(direction, alpha=-step_size)

    def _step_others(self, weights: list[nn.Parameter], lr: float) -> None:
        for weight in weights:
            assert weight.grad is not None
            state = self.state[weight]
            if not state:
                state |= {"step": 0, "mean": torch.zeros_like(weight), "square": torch.zeros_like(weight)}
            state["step"] += 1
            mean = state["mean"].lerp_(weight.grad, 1 - BETAS[0])
            square = state["square"].lerp_(weight.grad.square(), 1 - BETAS[1])
            bias = [1 - beta ** state["step"] for beta in BETAS]
            weight.addcdiv_(mean, (square / bias[1]).sqrt_().add_(EPSILON), value=-lr / bias[0])


def orthogonalise(matrices: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """Nearly U Vᵀ of each matrix U S Vᵀ: five Newton-Schulz steps bring every singular value near 1."""
    a, b, c = NEWTON_SCHULZ
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    x = x.mT if is_tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.mT if is_tall else x).to(matrices.dtype)
    return result
