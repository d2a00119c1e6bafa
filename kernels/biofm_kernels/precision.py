"""Precision of the references: they compute in float32, or in float64 if they are given float64."""

import torch
from torch import Tensor


def exact_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype to compute in: float32, or float64 if x is in float64."""
    return torch.promote_types(x.dtype, torch.float32)


def to_exact(x: Tensor) -> Tensor:
    """Convert to the dtype to compute in."""
    return x.to(exact_dtype(x))
