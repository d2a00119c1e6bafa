"""Backends: which implementation of an operation runs, why, and what happens if a kernel cannot be built.

with biofm_kernels.backend("reference"):
    ...                                  # every operation runs as plain torch
"""

import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")

BACKENDS = ("auto", "triton", "varlen", "grouped", "reference")
TRITON_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
DRIVER_FAULT = "Triton Error [CUDA]"
FAULTS_OF_LOADING = ("kernel image", "ptx", "PTX", "symbol not found")
LOWEST_CAPABILITY = (8, 0)  # The tests compile the kernels for no older architecture.


class KernelWarning(UserWarning):
    """Warns that a kernel could not be built here and that another implementation runs instead."""


class Choice(NamedTuple):
    """Names the implementation that runs, and says why.

    Attributes:
        backend: The implementation: one of ``BACKENDS`` other than "auto".
        reason: Why it was chosen, for people to read.
    """

    backend: str
    reason: str


class _State:
    """Holds what is true for the whole process. Autograd runs the backward pass in its own threads."""

    chosen = "auto"
    failed: frozenset[str] = frozenset()  # The operations whose kernel could not be built here.


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Choose by hand the implementation that operations use inside the ``with`` block, in all threads.

    A backend chosen by hand is never replaced by another one: if it cannot do something, that is an error.

    Args:
        name: "auto", "triton" or "reference"; for attention also "varlen" (torch's kernel for CUDA) and
            "grouped" (torch's kernel for the CPU).

    Raises:
        ValueError: There is no backend of this name.
    """
    if name not in BACKENDS:
        raise ValueError(f"there is no backend {name!r}; choose one of {', '.join(BACKENDS)}")
    before, _State.chosen = _State.chosen, name
    try:
        yield
    finally:
        _State.chosen = before


def chosen_by_hand(known: tuple[str, ...]) -> Choice | None:
    """Return the backend chosen by ``backend``, if the operation has it; else None."""
    return Choice(_State.chosen, "chosen by hand") if _State.chosen in known else None


def choose_row_kernel(operation: str, device: torch.device, dtype: torch.dtype) -> Choice:
    """Choose the backend of an operation that has a kernel in Triton and a reference, and say why."""
    by_hand = chosen_by_hand(("triton", "reference"))
    if by_hand is not None:
        return by_hand
    obstacle = triton_obstacle(operation, device, dtype)
    if obstacle is not None:
        return Choice("reference", obstacle)
    return Choice("triton", "biofm's own kernel")


def run(operation: str, function: str, x: Tensor, *arguments: Any) -> Any:
    """Call a function of the operation's ``kernels.py`` or ``reference.py``, whichever suits tensors like
    x.
    """

    def of(module: str) -> Any:
        implementation = import_module(f"biofm_kernels.{operation}.{module}")
        return getattr(implementation, function)(x, *arguments)

    choice = choose_row_kernel(operation, x.device, x.dtype)
    if choice.backend == "reference":
        return of("reference")
    return run_or_fall_back(operation, lambda: of("kernels"), lambda: of("reference"))


def triton_obstacle(operation: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Explain why biofm's kernels do not run there; return None where they do."""
    if device.type != "cuda":
        return f"biofm's kernels are for CUDA, not for {device.type}"
    if torch.version.hip is not None:
        return "biofm's kernels are not tested on AMD"
    capability = torch.cuda.get_device_capability(device)
    if capability < LOWEST_CAPABILITY:
        return f"compute capability {'.'.join(map(str, capability))} is below 8.0"
    if dtype not in TRITON_DTYPES:
        return f"biofm's kernels do not compute in {str(dtype).removeprefix('torch.')}"
    if operation in _State.failed:
        return "the kernel could not be built here"
    return None


def run_or_fall_back(operation: str, kernel: Callable[[], T], otherwise: Callable[[], T]) -> T:
    """Run the kernel; if it cannot be built, warn once and run ``otherwise``, now and from then on.

    ``triton_obstacle`` reports the failure from then on. Errors of the computation itself, out of memory
    among them, are not caught. No error is caught if the backend was chosen by hand.
    """
    if _State.chosen != "auto":
        return kernel()
    try:
        return kernel()
    except Exception as error:
        if not _is_of_building(error):
            raise
        _note_failure(operation, error)
    return otherwise()


def _note_failure(operation: str, error: Exception) -> None:
    """Remember that the kernel could not be built, and warn."""
    _State.failed |= {operation}
    first_line = str(error).strip().partition("\n")[0]
    warnings.warn(
        f"the kernel of {operation} could not be built here ({type(error).__name__}: {first_line}), so "
        "another implementation runs. To build it, Triton needs a C compiler and Python's headers",
        KernelWarning,
        stacklevel=3,
    )


def _is_of_building(error: Exception) -> bool:
    """Return whether Triton is missing, or could not compile, assemble, load or fit the kernel.

    Errors of the driver while a kernel runs come through Triton as well; they do not count.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return False
    message = str(error)
    if message.startswith(DRIVER_FAULT):
        return any(text in message for text in FAULTS_OF_LOADING)
    is_of_triton = type(error).__module__.startswith("triton.") or _raised_in(error).startswith("triton.")
    return is_of_triton or isinstance(error, (ImportError, OSError, subprocess.CalledProcessError))


def _raised_in(error: Exception) -> str:
    """Return the name of the module whose code raised the error."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "" if last is None else str(last.tb_frame.f_globals.get("__name__", ""))
