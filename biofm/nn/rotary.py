"""Rotary position embedding (Su et al. 2021, section 3.2.2), in the half-split layout of ESM-2."""

from collections.abc import Callable
from typing import Any, NamedTuple, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


class Rotation(NamedTuple):
    """cos and sin of every token's angles, float32, shaped to broadcast over heads; sin is negated in the
    first half.
    """

    cos: Float[Tensor, "tokens 1 head_dim"]
    sin: Float[Tensor, "tokens 1 head_dim"]

    def at(self, indices: Int[Tensor, " rows"]) -> "Rotation":
        """The angles of some tokens."""
        return Rotation(self.cos[indices], self.sin[indices])


class Rotary(nn.Module):
    """Angles position * 10000^(-2i / head_dim).

    The frequencies are computed on the CPU in float32 and then moved: the same expression on a GPU differs in
    the last bits, and the difference grows through the layers. They are a buffer that a checkpoint may
    replace, because some checkpoints were trained with rounded ones.
    """

    def __init__(self, d_head: int) -> None:
        super().__init__()
        self.d_head = d_head
        self.register_buffer("frequencies", self.default_frequencies())
        self.frequencies: Tensor

    def default_frequencies(self) -> Float[Tensor, " half_head_dim"]:
        exponents = torch.arange(0, self.d_head, 2, dtype=torch.float32, device="cpu") / self.d_head
        return 1.0 / 10000.0**exponents

    def _apply(self, move: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Follow the model to another device, but not to half precision: rounded frequencies turn far tokens
        wrongly.
        """
        exact = self.frequencies
        super()._apply(move, recurse)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.frequencies = exact.to(self.frequencies.device)
        return self

    def forward(self, positions: Int[Tensor, " tokens"]) -> Rotation:
        angles = positions[:, None].float() * self.frequencies.float()  # (tokens, head_dim / 2)
        cos, sin = angles.cos(), angles.sin()
        return Rotation(torch.cat([cos, cos], -1)[:, None], torch.cat([-sin, sin], -1)[:, None])


class NoRotary(nn.Module):
    """For encoders whose positions are learned, or that have none: rotates by nothing."""

    def forward(self, positions: Int[Tensor, " tokens"]) -> None:
        return None


def rotate(
    x: Float[Tensor, "tokens heads head_dim"], rotation: Rotation | None
) -> Float[Tensor, "tokens heads head_dim"]:
    """(x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin) for the two halves of each head, in float32, returned in
    x's dtype.
    """
    if rotation is None:
        return x
    rotated: Tensor = _Rotate.apply(x, *rotation)  # type: ignore[no-untyped-call]  # as torch does
    return rotated


class _Rotate(torch.autograd.Function):
    """A rotation's gradient is the rotation by the opposite angle, so nothing of x is kept for the backward
    pass.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _turn(gradient, cos, -sin), None, None


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    # Updating the halves in place is about seven times as fast on a CPU as building them and joining them.
    half = x.shape[-1] // 2
    exact = x.float()
    turned = exact * cos
    turned[..., :half].addcmul_(exact[..., half:], sin[..., :half])
    turned[..., half:].addcmul_(exact[..., :half], sin[..., half:])
    return turned.to(x.dtype)
