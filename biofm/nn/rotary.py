"""The angles of rotary position embedding (Su et al. 2021, section 3.2.2)."""

from collections.abc import Callable
from typing import Self, no_type_check

import torch
from biofm_kernels import Rotary
from jaxtyping import Float, Int
from torch import Tensor, nn


class Angles:
    """How tokens turn, as one thing: what casts a module's arguments, as FSDP2 does in mixed precision, looks
    into tuples and dataclasses, and rounded angles turn far tokens wrongly.
    """

    rotary: Rotary

    @no_type_check  # torch's compiler reads this, and cannot read checks of shapes
    def __init__(self, rotary):
        self.rotary = rotary


class RotaryAngles(nn.Module):
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

    def forward(self, positions: Int[Tensor, " tokens"], n_positions: int) -> Angles:
        """How tokens at these positions, all below ``n_positions``, turn."""
        every = torch.arange(n_positions, device=positions.device)
        angles = every[:, None].float() * self.frequencies.float()  # (positions, head_dim / 2)
        turning: Angles = Angles(Rotary(angles.cos(), angles.sin(), positions, positions))
        return turning


class NoRotaryAngles(nn.Module):
    """For encoders whose positions are learned, or that have none: turns nothing."""

    def forward(self, positions: Int[Tensor, " tokens"], n_positions: int) -> None:
        return None
