"""Programs are run here, in the worker of ``run-program``: a caller's exported program over an array.

This module is imported in a process that the kernel confines (``biofm.gate.confinement``), and only there:
``torch.export.load`` may run any code that the file holds.
"""

import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
import torch
from biofm_datasets.documents import parse_json
from numpy.typing import NDArray

from biofm.core.errors import BiofmError, InputError
from biofm.core.programs import DTYPES, LARGEST_JSON_BYTES, ProgramJob, ProgramResult
from biofm.gate.confinement.inside import refusal_in

JOB = ProgramJob
SAVE_PROGRAM = "Save it with torch.export.save, from the torch version that is installed here"
SAVE_ARRAY = "Write it with numpy.save, as an array of numbers"
GIVE_SPACING = 'Write {"spacing_mm": [0.7, 0.7, 1.25]} into it, with one number for each axis of the array'
CHUNK_BYTES = 1 << 24
Array = NDArray[Any]


def run(job: ProgramJob, files: Mapping[str, BinaryIO], memory: BinaryIO) -> ProgramResult:
    """Run a program over an array, and put the array that it returns into ``memory``.

    Args:
        job: The names of the files, for messages.
        files: The program, the array (input) and its spacing, by these roles.
        memory: An empty file, into which the elements of the result are written.

    Raises:
        InputError: A file is wrong, or the program does not fit the array or fails on it.
    """
    array = read_array(files["input"], job.input)
    spacing_mm = read_spacing(files["spacing"], job.spacing, array.ndim)
    module = load_program(files["program"], job.program, array)
    returned, returned_spacing_mm = _call(module, array, spacing_mm, job)
    _write(returned, memory, job.program)
    return ProgramResult(
        dtype=returned.dtype.name, shape=returned.shape, spacing_mm=tuple(returned_spacing_mm)
    )


def read_array(file: BinaryIO, name: str) -> Array:
    """Return the array of a ``.npy`` file, in C order and in the byte order of this machine.

    Args:
        file: The opened file.
        name: Its name, for messages.

    Raises:
        InputError: It is no array of numbers, is cut, or does not fit into memory.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its format has version {version[0]}.{version[1]}")
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
    except (ValueError, EOFError) as error:
        raise InputError(f"this is no .npy file ({error})", where=name, remedy=SAVE_ARRAY) from error
    if dtype.name not in DTYPES:
        what = f"its elements have the type {dtype.name}, and run-program takes {', '.join(DTYPES)}"
        raise InputError(what, where=name, remedy=SAVE_ARRAY)
    n_bytes = math.prod(shape) * dtype.itemsize
    n_there = os.fstat(file.fileno()).st_size - file.tell()
    if n_bytes != n_there:
        what = f"an array of the shape {shape} has {n_bytes:,} bytes, and {n_there:,} are there"
        raise InputError(what, where=name, remedy="Write it again: it may be cut")
    if 0 in shape or not shape:
        raise InputError(f"the array has the shape {shape}, and so no axis", where=name, remedy=SAVE_ARRAY)
    file.seek(0)
    array: Array = np.load(file, allow_pickle=False)
    return np.ascontiguousarray(array, dtype.newbyteorder("="))


def read_spacing(file: BinaryIO, name: str, n_axes: int) -> tuple[float, ...]:
    """Return the spacing of an array from the JSON file beside it.

    Args:
        file: The opened file. Entries other than ``spacing_mm`` are not read.
        name: Its name, for messages.
        n_axes: How many axes the array has.

    Raises:
        InputError: It is no such file, or the numbers are not as many, finite and positive.
    """
    content = file.read(LARGEST_JSON_BYTES + 1)
    if len(content) > LARGEST_JSON_BYTES:
        raise InputError("it is larger than 1 MiB", where=name, remedy=GIVE_SPACING)
    try:
        found = parse_json(content)
    except ValueError as error:
        raise InputError(f"this is no JSON file ({error})", where=name, remedy=GIVE_SPACING) from error
    values = found.get("spacing_mm") if isinstance(found, dict) else None
    if not isinstance(values, list):
        raise InputError("it has no list spacing_mm", where=name, remedy=GIVE_SPACING)
    return check_spacing(values, name, n_axes)


def check_spacing(values: list[Any], name: str, n_axes: int) -> tuple[float, ...]:
    """Return a spacing as floats.

    Args:
        values: The spacing.
        name: Whose spacing it is, for messages.
        n_axes: How many axes the array has.

    Raises:
        InputError: The values are not as many positive, finite numbers.
    """
    if len(values) != n_axes:
        what = f"spacing_mm has {len(values)} numbers, and the array has {n_axes} axes"
        raise InputError(what, where=name, remedy=GIVE_SPACING)
    for value in values:
        if type(value) not in (int, float) or not 0 < value <= 1e9:
            what = f"a spacing is a positive number of millimetres, not {str(value)[:40]}"
            raise InputError(what, where=name, remedy=GIVE_SPACING)
    return tuple(map(float, values))


def load_program(file: BinaryIO, name: str, array: Array) -> Any:
    """Return the module of an exported program that takes an array, and perhaps its spacing.

    Args:
        file: The opened file.
        name: Its name, for messages.
        array: The array on which it is to run.

    Raises:
        InputError: It is no such program, or takes other inputs.
    """
    with _faults_of(name, "this is no exported program", SAVE_PROGRAM), _first_fault_raised():
        program = torch.export.load(file)
    wanted = _inputs_of(program, name)
    first = wanted[0]
    if len(first.shape) != array.ndim:
        what = f"the program takes an array of {len(first.shape)} axes, and this one has {array.ndim}"
        raise InputError(what, where=name, remedy="Export it for arrays of this shape")
    dtype = str(first.dtype).removeprefix("torch.")
    if dtype != array.dtype.name:
        what = f"the program takes {dtype}, and the array holds {array.dtype.name}"
        raise InputError(what, where=name, remedy=f"Write the array as {dtype}: biofm does not convert it")
    return program.module(), len(wanted)


def _inputs_of(program: Any, name: str) -> list[Any]:
    """Return the tensors that stand for the program's inputs, of which there are one or two."""
    inputs = set(program.graph_signature.user_inputs)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
    values = [node.meta.get("val") for node in nodes]
    if len(inputs) not in (1, 2) or not all(isinstance(value, torch.Tensor) for value in values):
        what = "it does not take an array, or an array and its spacing"
        remedy = "Export a module with forward(array) or forward(array, spacing_mm)"
        raise InputError(what, where=name, remedy=remedy)
    return values


def _call(
    loaded: tuple[Any, int], array: Array, spacing_mm: tuple[float, ...], job: ProgramJob
) -> tuple[Array, tuple[float, ...]]:
    """Return the array that the program makes, and its spacing."""
    module, n_inputs = loaded
    inputs = [torch.from_numpy(array), torch.tensor(spacing_mm, dtype=torch.float64)][:n_inputs]
    with _faults_of(job.program, f"the program fails on {job.input}", ""), torch.no_grad():
        returned = module(*inputs)
    values = tuple(returned) if isinstance(returned, tuple | list) else (returned,)
    if len(values) not in (1, 2) or not all(isinstance(value, torch.Tensor) for value in values):
        what = "it does not return an array, or an array and its spacing"
        raise InputError(what, where=job.program, remedy="Return a tensor, or a tensor and spacing_mm")
    made = values[0].detach().contiguous()
    if str(made.dtype).removeprefix("torch.") not in DTYPES or made.device.type != "cpu":
        what = f"it returns {made.dtype} on {made.device}, and run-program writes {', '.join(DTYPES)}"
        raise InputError(what, where=job.program, remedy="Convert the result in the program")
    if len(values) == 2:
        return made.numpy(), check_spacing(values[1].tolist(), job.program, made.ndim)
    if made.shape != array.shape:
        what = f"it makes the shape {tuple(made.shape)} of {array.shape}, and so the spacing is not known"
        raise InputError(what, where=job.program, remedy="Return (array, spacing_mm) from the program")
    return made.numpy(), spacing_mm


def _write(array: Array, memory: BinaryIO, name: str) -> None:
    """Write the elements of an array, in C order."""
    room = os.fstat(memory.fileno()).st_size
    if array.nbytes > room:
        what = f"it returns {array.nbytes:,} bytes, and {room:,} are allowed"
        raise InputError(what, where=name, remedy="Allow it more memory, or give it a smaller array")
    elements = array.reshape(-1).view(np.uint8)
    for start in range(0, len(elements), CHUNK_BYTES):
        memory.write(elements[start : start + CHUNK_BYTES].data)


@contextmanager
def _faults_of(name: str, what: str, remedy: str) -> Iterator[None]:
    """Raise InputError for a fault of the program, but not for what the kernel refused or for lack of memory.

    Code of the caller may raise any exception.
    """
    try:
        yield
    except BiofmError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        if refusal_in(error) is not None or "can't allocate memory" in str(error):
            raise
        lines = str(error).strip().splitlines() or [""]
        raise InputError(f"{what} ({type(error).__name__}: {lines[0]})", where=name, remedy=remedy) from error


class _FirstFault(logging.Handler):
    """Keeps the first exception that torch writes into its log."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and self.fault is None:
            self.fault = record.exc_info[1]


@contextmanager
def _first_fault_raised() -> Iterator[None]:
    """Raise the fault that torch's newest reader met, in place of that of the older reader it tries next."""
    log, handler = logging.getLogger("torch.export"), _FirstFault()
    log.addHandler(handler)
    propagate, log.propagate = log.propagate, False
    try:
        yield
    except Exception:
        if handler.fault is not None:
            raise handler.fault from None
        raise
    finally:
        log.removeHandler(handler)
        log.propagate = propagate
