"""The operation as torch knows it, for autograd, compile and export."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from biofm_kernels.linear_cross_entropy import reference


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
    losses: Tensor = _forward(hidden, weight, bias, targets)[0]
    return losses


def _implementation(x: Tensor) -> ModuleType:
    if x.device.type == "cuda":
        from biofm_kernels.linear_cross_entropy import triton  # Triton is there only where CUDA is

        return triton
    return reference


@torch.library.custom_op("biofm::linear_cross_entropy", mutates_args=())
def _forward(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> tuple[Tensor, Tensor]:
    with torch.autocast(hidden.device.type, enabled=False):
        losses, lse = _implementation(hidden).forward(hidden, weight, bias, targets)
    return losses, lse


@_forward.register_fake
def _(hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> tuple[Tensor, Tensor]:
    exact = torch.promote_types(hidden.dtype, torch.float32)
    losses, lse = (hidden.new_empty(hidden.shape[0], dtype=exact) for _ in range(2))
    return losses, lse


@torch.library.custom_op("biofm::linear_cross_entropy_backward", mutates_args=())
def _backward(
    d_losses: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, lse: Tensor
) -> list[Tensor]:
    """The gradients of hidden, weight and, if there is one, bias."""
    with torch.autocast(hidden.device.type, enabled=False):
        gradients = _implementation(hidden).backward(d_losses, hidden, weight, bias, targets, lse)
    return [gradient for gradient in gradients if gradient is not None]


@_backward.register_fake
def _(
    d_losses: Tensor, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, lse: Tensor
) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in (hidden, weight, bias) if x is not None]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[1])


def _differentiate(ctx: Any, d_losses: Tensor, of_lse: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
    d_hidden, d_weight, *d_bias = _backward(d_losses, *ctx.saved_tensors)
    return d_hidden, d_weight, d_bias[0] if d_bias else None, None


_forward.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.biofm.linear_cross_entropy)
def _flops(hidden: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    """One product of matrices."""
    return 2 * hidden[0] * weight[0] * weight[1]


@register_flop_formula(torch.ops.biofm.linear_cross_entropy_backward)
def _backward_flops(
    d_losses: Sequence[int], hidden: Sequence[int], weight: Sequence[int], *_: object, **__: object
) -> int:
    """Three: the logits again, then the gradients of hidden and of weight."""
    return 6 * hidden[0] * weight[0] * weight[1]
