"""Compute: the device and the precision in which a model runs, chosen once and with a reason."""

from copy import deepcopy
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from biofm.core.errors import OptionError
from biofm.core.hardware import find_bf16
from biofm.core.memory import keep_freed_memory

M = TypeVar("M", bound=nn.Module)

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

# On a CPU, larger batches no longer fit into the cache, nor their buffers into what the allocator keeps.
TOKENS_PER_BATCH = {"cpu": 2048, "mps": 8192, "cuda": 32768}


@dataclass(frozen=True, slots=True)
class Compute:
    """A device, a dtype, and the reason for that dtype."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def tokens_per_batch(self) -> int:
        """The most tokens of a batch, unless another number is asked for."""
        return TOKENS_PER_BATCH.get(self.device.type, TOKENS_PER_BATCH["cpu"])


def place(module: M, compute: Compute) -> M:
    """A copy of the module on this device and in this dtype, ready to be run but not trained.

    The given module stays as it is; both share the weights that need no conversion.
    """
    shared = {id(weight): nn.Parameter(weight.detach(), False) for weight in module.parameters()}
    return deepcopy(module, shared).to(compute.device, compute.dtype)


def choose_compute(device: str, dtype: str) -> Compute:
    """Choose where "auto" is asked for: the best device there is, and bfloat16 if its hardware multiplies it.

    For work on a CPU, the process keeps the memory that it frees from here on. Raises OptionError for a
    device that this machine does not have, and for an unknown dtype.
    """
    place = _choose_device(device)
    if place.type == "cpu":
        keep_freed_memory()
    if dtype != "auto":
        if dtype not in DTYPES:
            raise OptionError(
                f"no such dtype: {dtype}", where="--dtype", remedy=f"Give auto, {', '.join(DTYPES)}"
            )
        return Compute(place, DTYPES[dtype], "as asked")
    has_bf16, evidence = _bfloat16_in_hardware(place)
    return Compute(place, torch.bfloat16 if has_bf16 else torch.float32, evidence)


def _choose_device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise OptionError(
            f"device {name} cannot be used here ({reason})", where="--device", remedy="Give auto or cpu"
        ) from error
    return device


def _bfloat16_in_hardware(device: torch.device) -> tuple[bool, str]:
    """Whether the device multiplies bfloat16 in hardware, and how that is known."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        has = torch.cuda.get_device_capability(device) >= (8, 0)
        return has, f"{name} {'multiplies' if has else 'does not multiply'} bfloat16 in hardware"
    if device.type == "cpu":
        support = find_bf16()
        return support.in_hardware, support.evidence
    return False, f"bfloat16 is not assumed to be fast on {device.type}"
