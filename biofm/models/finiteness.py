"""Whether what a model gives are finite numbers and, where they are not, why.

What leaves a model is summed up row by row on its device: a sum is finite only where all its parts are, and
it is read together with the rows. A row at fault becomes NaN throughout, so that whoever holds it sees that,
in a journal too.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from biofm.core.errors import BiofmError, ModelError, OptionError

AGAIN = "Get the model's files again, or train it again"


def are_faulty(sums: Tensor) -> NDArray[np.bool_]:
    """Which rows hold a number that is not finite, by their sums on any device."""
    is_faulty: NDArray[np.bool_] = ~np.isfinite(sums.cpu().numpy())
    return is_faulty


def reason_of(dtype: torch.dtype | str) -> str:
    """Why a row was left empty."""
    return f"the model's numbers are not finite in {str(dtype).removeprefix('torch.')}"


def not_finite(module: nn.Module, where: str) -> BiofmError:
    """The error for what ``module`` gives at ``where``, a record: a weight is at fault, the dtype is too
    narrow, or the weights are too large for any.
    """
    dtype = next(module.parameters()).dtype
    what, fault = reason_of(dtype), find_fault(module)
    if dtype is not torch.float32 and (fault is None or not fault.is_nan):
        return OptionError(f"{what}, which they overflow", where=where, remedy="Pass --dtype float32")
    cause = fault or "its weights are finite, but too large to compute with"
    return ModelError(f"{what}: {cause}", where=where, remedy=AGAIN)


@dataclass(frozen=True, slots=True)
class WeightFault:
    """A tensor of a model that is not finite: some of it is NaN, or else infinite."""

    tensor: str
    n_faulty: int
    n: int
    is_nan: bool

    def __str__(self) -> str:
        kind = "NaN" if self.is_nan else "infinite"
        return f"{self.n_faulty:,} of the {self.n:,} numbers of its tensor {self.tensor} are {kind}"


def find_fault(module: nn.Module) -> WeightFault | None:
    """The first of a module's weights that holds NaN, or else infinity: one pass over them."""
    faults = []
    for name, weight in module.named_parameters():
        n_faulty = int((~weight.isfinite()).sum())
        if n_faulty:
            faults.append(WeightFault(name, n_faulty, weight.numel(), bool(weight.isnan().any())))
    return min(faults, key=lambda fault: not fault.is_nan, default=None)
