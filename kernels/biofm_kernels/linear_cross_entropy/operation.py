"""The operation as torch knows it, for autograd, compile and export."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from biofm_kernels.backends import run
from biofm_kernels.registration import register


def linear_cross_entropy(
    hidden: Float[Tensor, "rows d"],
    weight: Float[Tensor, "vocabulary d"],
    bias: Float[Tensor, " vocabulary"] | None,
    targets: Int[Tensor, " rows"],
) -> Float[Tensor, " rows"]:
    """The cross-entropy of each row's target under softmax(hidden weightᵀ + bias), without the logits of all
    rows ever being in memory (Wijmans et al. 2024). In float32; 0, and no gradient, where the target is -100.

    Under autocast, hidden and weight are cast as ``torch.nn.Linear`` casts them.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    assert hidden.dtype == weight.dtype, "hidden and weight differ in dtype"
    losses: Tensor = _linear_cross_entropy(hidden, weight, bias, targets)[0]
    return losses


def _forward(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> tuple[Tensor, Tensor]:
    losses, lse = run("linear_cross_entropy", "forward", hidden, weight, bias, targets)
    return losses, lse


def _fake_forward(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> tuple[Tensor, Tensor]:
    exact = torch.promote_types(hidden.dtype, torch.float32)
    losses, lse = (hidden.new_empty(hidden.shape[0], dtype=exact) for _ in range(2))
    return losses, lse


def _backward(
    d_losses: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, lse: Tensor
) -> list[Tensor]:
    """The gradients of hidden, weight and, if there is one, bias."""
    gradients = run("linear_cross_entropy", "backward", d_losses, hidden, weight, bias, targets, lse)
    return [gradient for gradient in gradients if gradient is not None]


def _fake_backward(
    d_losses: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, lse: Tensor
) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in (hidden, weight, bias) if x is not None]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[1])


def _differentiate(ctx: Any, d_losses: Tensor, of_lse: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
    d_hidden, d_weight, *d_bias = _linear_cross_entropy_backward(d_losses, *ctx.saved_tensors)
    return d_hidden, d_weight, d_bias[0] if d_bias else None, None


_linear_cross_entropy = register(
    "linear_cross_entropy", _forward, _fake_forward, save=_save, differentiate=_differentiate
)
_linear_cross_entropy_backward = register("linear_cross_entropy_backward", _backward, _fake_backward)
