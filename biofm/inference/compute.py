"""Compute: this module chooses the device and the precision in which a model runs, with a reason."""

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

CHOSEN = "set by dtype or by the command's default"

# On a CPU, larger batches fit neither into the cache nor into the memory that the allocator keeps.
TOKENS_PER_BATCH = {"cpu": 2048, "mps": 8192, "cuda": 32768}


@dataclass(frozen=True, slots=True)
class Compute:
    """Says where a model runs and in which precision.

    Attributes:
        device: The device that holds the weights and does the work.
        dtype: The dtype of the weights and of the activations.
        reason: Why this dtype was chosen, in words for the user.
    """

    device: torch.device
    dtype: torch.dtype
    reason: str

    @property
    def dtype_name(self) -> str:
        """The name of the dtype as users write it, which is ``bfloat16`` for ``torch.bfloat16``."""
        return str(self.dtype).removeprefix("torch.")

    @property
    def tokens_per_batch(self) -> int:
        """The number of tokens that one batch has at most, unless the user asks for another number."""
        return TOKENS_PER_BATCH.get(self.device.type, TOKENS_PER_BATCH["cpu"])


def place(module: M, compute: Compute) -> M:
    """Return a copy of a module on the device and in the dtype of ``compute``, for inference only.

    The given module stays as it is. Both share the weights that need no conversion.

    Args:
        module: The module to copy.
        compute: Where the copy runs, and in which precision.
    """
    shared = {id(weight): nn.Parameter(weight.detach(), False) for weight in module.parameters()}
    return deepcopy(module, shared).to(compute.device, compute.dtype)


def choose_compute(device: str, dtype: str) -> Compute:
    """Choose the device and the dtype in which a model runs.

    "auto" as the device takes a CUDA GPU, else MPS, else the CPU. "auto" as the dtype takes bfloat16 where
    the hardware multiplies it, else float32. If the device is the CPU, the process keeps the memory that it
    frees from then on.

    Args:
        device: "auto", or a device of torch, such as "cpu", "cuda", "cuda:0" or "mps".
        dtype: "auto", "float32", "bfloat16" or "float16".

    Raises:
        OptionError: This machine does not have the device, or the dtype is unknown.
    """
    place = _choose_device(device)
    if place.type == "cpu":
        keep_freed_memory()
    if dtype != "auto":
        if dtype not in DTYPES:
            what = f"no such dtype: {dtype}" if dtype else "no dtype is named"
            raise OptionError(what, where="--dtype", remedy=f"Give auto, {', '.join(DTYPES)}")
        return Compute(place, DTYPES[dtype], CHOSEN)
    has_bf16, evidence = _bfloat16_in_hardware(place)
    return Compute(place, torch.bfloat16 if has_bf16 else torch.float32, evidence)


def _choose_device(name: str) -> torch.device:
    """Return the device of this name. Raise OptionError where this machine does not have it."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    remedy = f"Give auto, cpu, cuda, cuda:0 or mps; this machine has {', '.join(_devices_here())}"
    try:
        device = torch.device(name)
    except RuntimeError as error:  # torch answers with all the kinds of device that it knows
        what = f"no such device: {name}" if name else "no device is named"
        raise OptionError(what, where="--device", remedy=remedy) from error
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # The first sentence says why; behind it, torch may list everything that it was compiled for.
        reason = str(error).splitlines()[0].split(". ")[0].removesuffix(".")
        if device.type == "mps" and not torch.backends.mps.is_available():
            reason = "torch finds no Apple GPU"
        what = f"device {name} cannot be used here ({reason})"
        raise OptionError(what, where="--device", remedy=remedy) from error
    return device


def _devices_here() -> list[str]:
    """Return the names of the devices of this machine; "cuda" is the first GPU."""
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = ["cuda", *(f"cuda:{number}" for number in range(n_gpus))] if n_gpus else []
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def _bfloat16_in_hardware(device: torch.device) -> tuple[bool, str]:
    """Return whether the device multiplies bfloat16 in hardware, and a sentence that says how one knows."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        has = torch.cuda.get_device_capability(device) >= (8, 0)
        return has, f"{name} {'multiplies' if has else 'does not multiply'} bfloat16 in hardware"
    if device.type == "cpu":
        support = find_bf16()
        return support.in_hardware, support.evidence
    return False, f"bfloat16 is not assumed to be fast on {device.type}"
