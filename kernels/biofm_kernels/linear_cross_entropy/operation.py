"""Cross-entropy as an operation of torch: this module defines it for autograd, compile and export."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from biofm_kernels.backends import run
from biofm_kernels.precision import exact_dtype
from biofm_kernels.registration import register


def linear_cross_entropy(
    hidden: Float[Tensor, "rows d"],
    weight: Float[Tensor, "vocabulary d"],
    bias: Float[Tensor, " vocabulary"] | None,
    targets: Int[Tensor, " rows"],
) -> Float[Tensor, " rows"]:
    """Compute the cross-entropy of each row's target under softmax(hidden weightᵀ + bias), in float32.

    The logits of all rows are never in memory at once (Wijmans et al. 2024). Under autocast, hidden and
    weight are cast as ``torch.nn.Linear`` casts them.

    Args:
        hidden: Last hidden states.
        weight: The vector of each word of the vocabulary, in the dtype of ``hidden``.
        bias: The bias of each word; None for none.
        targets: The word that is right for each row. The loss is 0, without gradient, where it is -100.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    assert hidden.dtype == weight.dtype, "hidden and weight differ in dtype"
    losses: Tensor = _linear_cross_entropy(hidden, weight, bias, targets)[0]
    return losses


def _forward(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the losses and the logarithm of each softmax's divisor."""
    losses, lse = run("linear_cross_entropy", "forward", hidden, weight, bias, targets)
    return losses, lse


def _fake_forward(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """Make empty results of ``_forward``'s shapes."""
    exact = exact_dtype(hidden)
    losses, lse = (hidden.new_empty(hidden.shape[0], dtype=exact) for _ in range(2))
    return losses, lse


def _backward(
    d_losses: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, lse: Tensor
) -> list[Tensor]:
    """Compute the gradients of hidden, weight and, if there is one, bias."""
    gradients = run("linear_cross_entropy", "backward", d_losses, hidden, weight, bias, targets, lse)
    return [gradient for gradient in gradients if gradient is not None]


def _fake_backward(
    d_losses: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, lse: Tensor
) -> list[Tensor]:
    """Make empty results of ``_backward``'s shapes."""
    return [x.new_empty(x.shape) for x in (hidden, weight, bias) if x is not None]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep what the backward pass reads."""
    ctx.save_for_backward(*inputs, output[1])


def _differentiate(ctx: Any, d_losses: Tensor, of_lse: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
    """Compute the gradient of every argument; None for those that have none."""
    d_hidden, d_weight, *d_bias = _linear_cross_entropy_backward(d_losses, *ctx.saved_tensors)
    return d_hidden, d_weight, d_bias[0] if d_bias else None, None


_linear_cross_entropy = register(
    "linear_cross_entropy", _forward, _fake_forward, save=_save, differentiate=_differentiate
)
_linear_cross_entropy_backward = register("linear_cross_entropy_backward", _backward, _fake_backward)
