"""Which implementation of an operation runs, why, and what happens where a kernel cannot be built.

with biofm_kernels.backend("reference"):
    ...                                  # every operation as its equation reads
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
LOWEST_CAPABILITY = (8, 0)  # the oldest architecture that the kernels are compiled for in the tests


class KernelWarning(UserWarning):
    """A kernel could not be built here, and another implementation does its work."""


class Choice(NamedTuple):
    """The implementation that runs, and why that one."""

    backend: str
    reason: str


class _State:
    """What holds for the whole process, because autograd runs the backward pass in threads of its own."""

    chosen = "auto"
    failed: frozenset[str] = frozenset()  # operations whose kernel could not be built here


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Choose by hand what the operations run inside, in all threads: "triton", "reference", and for attention
    also "varlen" (torch's kernel for CUDA) and "grouped" (torch's for the CPU). A backend chosen by hand is
    never replaced: what it cannot do is an error.

    Raises ValueError: there is no such backend.
    """
    if name not in BACKENDS:
        raise ValueError(f"no backend is called {name}; there are {', '.join(BACKENDS)}")
    before, _State.chosen = _State.chosen, name
    try:
        yield
    finally:
        _State.chosen = before


def chosen_by_hand(known: tuple[str, ...]) -> Choice | None:
    """What ``backend`` says, if the operation has it."""
    return Choice(_State.chosen, "chosen by hand") if _State.chosen in known else None


def choose_row_kernel(operation: str, device: torch.device, dtype: torch.dtype) -> Choice:
    """The backend of an operation that has a kernel in Triton and a reference, and why that one."""
    by_hand = chosen_by_hand(("triton", "reference"))
    if by_hand is not None:
        return by_hand
    obstacle = triton_obstacle(operation, device, dtype)
    if obstacle is not None:
        return Choice("reference", obstacle)
    return Choice("triton", "biofm's own kernel")


def run(operation: str, function: str, x: Tensor, *arguments: Any) -> Any:
    """A function of the operation's ``kernels.py`` or ``reference.py``, whichever is for tensors like x."""

    def of(module: str) -> Any:
        implementation = import_module(f"biofm_kernels.{operation}.{module}")
        return getattr(implementation, function)(x, *arguments)

    choice = choose_row_kernel(operation, x.device, x.dtype)
    if choice.backend == "reference":
        return of("reference")
    return run_or_fall_back(operation, lambda: of("kernels"), lambda: of("reference"))


def triton_obstacle(operation: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why biofm's kernels do not run there; None where they do."""
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
    """The kernel's result; where it cannot be built, that of ``otherwise``, after one warning, and
    ``triton_obstacle`` knows of it from then on.

    Faults of the computation itself, out of memory among them, are not caught, nor is any where the backend
    was chosen by hand.
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
    _State.failed |= {operation}
    first_line = str(error).strip().partition("\n")[0]
    warnings.warn(
        f"the kernel of {operation} could not be built here ({type(error).__name__}: {first_line}); another "
        "implementation does its work. Triton needs a C compiler and Python's headers",
        KernelWarning,
        stacklevel=3,
    )


def _is_of_building(error: Exception) -> bool:
    """Whether Triton is missing, or could not compile, assemble, load or fit the kernel.

    What the driver says while a kernel runs comes through Triton as well, and is not that.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return False
    message = str(error)
    if message.startswith(DRIVER_FAULT):
        return any(text in message for text in FAULTS_OF_LOADING)
    is_of_triton = type(error).__module__.startswith("triton.") or _raised_in(error).startswith("triton.")
    return is_of_triton or isinstance(error, (ImportError, OSError, subprocess.CalledProcessError))


def _raised_in(error: Exception) -> str:
    """The name of the module whose code raised the error."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return "" if last is None else str(last.tb_frame.f_globals.get("__name__", ""))
