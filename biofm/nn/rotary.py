"""Rotary position embedding: computes its angles (Su et al. 2021, section 3.2.2)."""

from collections.abc import Callable
from typing import Self, no_type_check

import torch
from biofm_kernels import Rotary
from jaxtyping import Float, Int
from torch import Tensor, nn


class Angles:
    """Holds rotary angles, wrapped in one object.

    FSDP2 in mixed precision casts tensors inside tuples and dataclasses to bfloat16, and rounded angles
    misplace distant tokens. FSDP2 does not look into this class.
    """

    rotary: Rotary

    @no_type_check  # torch's compiler traces this and fails on shape checks
    def __init__(self, rotary):
        self.rotary = rotary


class RotaryAngles(nn.Module):
    """Computes the angles position * 10000^(-2i / head_dim).

    The frequencies are computed on the CPU in float32 and then moved: the same expression on a GPU differs in
    the last bits, and the difference grows through the layers. They are a buffer that a checkpoint may
    replace, because some checkpoints were trained with rounded frequencies.

    Args:
        d_head: The number of columns of a head.
    """

    def __init__(self, d_head: int) -> None:
        super().__init__()
        self.d_head = d_head
        self.register_buffer("frequencies", self.default_frequencies())
        self.frequencies: Tensor

    def default_frequencies(self) -> Float[Tensor, " half_head_dim"]:
        """Compute the frequencies 10000^(-2i / head_dim) on the CPU."""
        exponents = torch.arange(0, self.d_head, 2, dtype=torch.float32, device="cpu") / self.d_head
        return 1.0 / 10000.0**exponents

    def _apply(self, move: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move the frequencies to another device with the model, but never to half precision.

        Rounded frequencies misplace distant tokens.
        """
        exact = self.frequencies
        super()._apply(move, recurse)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.frequencies = exact.to(self.frequencies.device)
        return self

    def forward(self, positions: Int[Tensor, " tokens"], n_positions: int) -> Angles:
        """Return the angles of tokens at these positions.

        Args:
            positions: The position of each token.
            n_positions: A number above every position.
        """
        every = torch.arange(n_positions, device=positions.device)
        angles = every[:, None].float() * self.frequencies.float()  # (positions, head_dim / 2)
        turning: Angles = Angles(Rotary(angles.cos(), angles.sin(), positions, positions))
        return turning


class NoRotaryAngles(nn.Module):
    """Stands in for ``RotaryAngles`` in encoders whose positions are learned, or that have none."""

    def forward(self, positions: Int[Tensor, " tokens"], n_positions: int) -> None:
        return None
