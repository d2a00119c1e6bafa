"""Checks whether the numbers that a model returns are finite and, if they are not, finds the reason.

Each row that a model returns is summed on its device, because a sum is finite only if all its parts are; the
sums come to the CPU together with the rows. A row with a number that is not finite becomes NaN throughout, so
that every reader of the row, from a journal too, can tell.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from biofm.core.errors import BiofmError, ModelError, OptionError

AGAIN = "Download the model's files again, or train it again"


def are_faulty(sums: Tensor) -> NDArray[np.bool_]:
    """Return which rows hold a number that is not finite.

    Args:
        sums: The sums of the rows, on any device.
    """
    is_faulty: NDArray[np.bool_] = ~np.isfinite(sums.cpu().numpy())
    return is_faulty


def describe_not_finite(dtype: torch.dtype | str) -> str:
    """Return the words for numbers of a model that are not finite.

    Args:
        dtype: The dtype in which the model computed them.
    """
    return f"the model's numbers are not finite in {str(dtype).removeprefix('torch.')}"


def not_finite(module: nn.Module, where: str) -> BiofmError:
    """Return the error for a record for which a model returns numbers that are not finite.

    The reason is a weight that is not finite, a dtype that is too narrow, or weights too large for any dtype.

    Args:
        module: The model.
        where: The place of the record, for messages.
    """
    dtype = next(module.parameters()).dtype
    what, fault = describe_not_finite(dtype), find_fault(module)
    if dtype is not torch.float32 and (fault is None or not fault.is_nan):
        return OptionError(f"{what}, because they overflow", where=where, remedy="Pass --dtype float32")
    cause = fault or "its weights are finite, but too large to compute with"
    return ModelError(f"{what}: {cause}", where=where, remedy=AGAIN)


@dataclass(frozen=True, slots=True)
class WeightFault:
    """Describes a tensor of a model that is not finite: it holds NaN, or else infinity."""

    tensor: str
    n_faulty: int
    n: int
    is_nan: bool

    def __str__(self) -> str:
        kind = "NaN" if self.is_nan else "infinite"
        return f"{self.n_faulty:,} of the {self.n:,} numbers of its tensor {self.tensor} are {kind}"


def find_fault(module: nn.Module) -> WeightFault | None:
    """Return the first weight that holds NaN, or else the first that holds infinity; None if all are finite.

    Args:
        module: The model.
    """
    faults = []
    for name, weight in module.named_parameters():
        n_faulty = int((~weight.isfinite()).sum())
        if n_faulty:
            faults.append(WeightFault(name, n_faulty, weight.numel(), bool(weight.isnan().any())))
    return min(faults, key=lambda fault: not fault.is_nan, default=None)
