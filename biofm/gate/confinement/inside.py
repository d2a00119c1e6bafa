"""The worker's side confines its process first, and then imports the module that does the job."""

import errno
import importlib
import json
import os
import stat
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, NoReturn

from biofm_datasets.documents import from_json, parse_json

from biofm.core.errors import BiofmError, RefusedError
from biofm.gate.confinement.grant import ALL_LAYERS, Grant, Layer
from biofm.gate.confinement.landlock import READING, USING, WRITING, Ruleset
from biofm.gate.confinement.limits import give_up_privileges, set_limits
from biofm.gate.confinement.places import file_of_biofm, find_packages, package_folders, places
from biofm.gate.confinement.seccomp import filter_calls

PARSERS = ("h5py", "numpy", "pydicom", "torch")
"""Packages that read files or start threads, and so are imported only after the confinement."""
THREADS_OF = "/proc/self/task"
NO_FOLDER = "/"
"""Stands for the folder of temporary files, of which a worker has none."""
LONGEST_TEXT = 2000
"""How many characters of an error's text are sent."""
MOST_NOTES = 10
"""How many notes of an error are sent."""
_answers: list[int] = []  # the descriptor on which this process answers, if it is a worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Tells how far a job is.

    Attributes:
        label: The name of the work.
        fraction: The share of it that is done, from 0 to 1; None if that is not known.
    """

    label: str
    fraction: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Tells a worker how to begin. It is the first line that the worker reads.

    Attributes:
        biofm: The file of the package biofm that the parent runs.
        packages: The folders of the packages of biofm, by name.
        paths: The folders of installed packages.
        module: The module that does the job, by its function ``run``.
        grant: What the worker may use.
        layers: What confines it.
        answer: The descriptor on which it answers.
        memory: The descriptor of the memory into which it puts an array.
    """

    biofm: str
    packages: dict[str, str]
    paths: tuple[str, ...]
    module: str
    grant: Grant
    layers: tuple[str, ...]
    answer: int
    memory: int


def confine(
    grant: Grant,
    *,
    packages: Mapping[str, str] | None = None,
    paths: Sequence[str] | None = None,
    layers: frozenset[Layer] = ALL_LAYERS,
) -> None:
    """Confine this process for ever to what a grant names.

    Args:
        grant: What it may use.
        packages: The folders of the packages of biofm, by name, which it reads. None finds them.
        paths: The folders of installed packages, which it reads. None finds them.
        layers: What confines it.

    Raises:
        RefusedError: The process has more than one thread, since one that is already running would stay
            free; it has imported a package that reads files; or the kernel does not enforce a layer.
    """
    _check_alone()
    try:
        give_up_privileges()
        if Layer.LIMITS in layers:
            set_limits(grant)
        if Layer.LANDLOCK in layers:
            found = find_packages() if packages is None else packages
            _hold_files(grant, found, package_folders(sys.path) if paths is None else paths)
        if Layer.SECCOMP in layers:
            filter_calls(grant)
    except OSError as error:
        what = f"the worker cannot be confined: {error.strerror or error}"
        raise RefusedError(what, remedy="Nothing was read. Check the kernel and libseccomp") from error


def _check_alone() -> None:
    """Raise RefusedError if a thread or an imported package could already do what will be refused."""
    n_threads = len(os.listdir(THREADS_OF)) if os.path.isdir(THREADS_OF) else threading.active_count()
    if n_threads != 1:
        raise RefusedError(f"the worker has {n_threads} threads, and a running thread cannot be confined")
    imported = [name for name in PARSERS if name in sys.modules]
    if imported:
        raise RefusedError(f"the worker imported {', '.join(imported)} before it was confined")


def _hold_files(grant: Grant, packages: Mapping[str, str], paths: Sequence[str]) -> None:
    rules = Ruleset()
    rules.allow((place.path for place in places(packages, paths)), READING)
    for descriptor in filter(_has_a_path, grant.descriptors()):
        rules.allow_descriptor(descriptor, READING)
    rules.allow(grant.outputs, WRITING)
    rules.allow(grant.devices, USING)
    for port in grant.ports:
        rules.allow_port(port)
    rules.enforce()


def _has_a_path(descriptor: int) -> bool:
    """Return whether an opened file lies in a folder; a pipe does not, and cannot be opened again."""
    mode = os.fstat(descriptor).st_mode
    return not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode)


def work(start_line: bytes, jobs: BinaryIO) -> NoReturn:
    """Confine this process, do the job, answer, and end.

    Args:
        start_line: A ``Start``, as JSON.
        jobs: The stream from which the job is read.
    """
    start: Start = from_json(Start, parse_json(start_line), "the start")
    try:
        answer = _work(start, jobs)
    except BiofmError as error:
        answer = {"error": {"kind": type(error).__name__, **_parts_of(error)}}
    except BaseException as error:  # noqa: BLE001 - the parent hears of every end.
        answer = {"crash": _crash_of(error)}
    with open(start.answer, "wb") as stream:
        stream.write(json.dumps(answer).encode() + b"\n")
    os._exit(0)  # The tidying up of torch and of the caller's code has no use here.


def _work(start: Start, jobs: BinaryIO) -> dict[str, Any]:
    if (own := file_of_biofm()) != start.biofm:
        what = f"the worker runs the biofm of {own}, and not that of {start.biofm}"
        raise RefusedError(what, remedy="Install biofm once, and start it from there")
    grant = start.grant
    layers = frozenset(map(Layer, start.layers))
    confine(grant, packages=start.packages, paths=start.paths, layers=layers)
    # Else torch, as it starts, searches for one that can be written.
    tempfile.tempdir = grant.temporary or NO_FOLDER
    os.environ["TMPDIR"] = tempfile.tempdir
    _answers.append(start.answer)
    module = importlib.import_module(start.module)
    job = from_json(module.JOB, parse_json(jobs.read()), "the job")
    files = {role: open(one.descriptor, "rb") for role, one in grant.files.items()}  # noqa: SIM115
    for file in files.values():
        if file.seekable():  # The parent has the same descriptor, and may have read from it.
            file.seek(0)
    with open(start.memory, "r+b") as memory:
        return {"result": asdict(module.run(job, files, memory))}


def tell_progress(label: str, fraction: float | None) -> None:
    """Tell the parent how far the job is. Outside a worker this does nothing.

    Args:
        label: The name of the work.
        fraction: The share of it that is done, from 0 to 1; None if that is not known.
    """
    for descriptor in _answers:
        told = Told(label=label[:LONGEST_TEXT], fraction=fraction)
        os.write(descriptor, json.dumps({"progress": asdict(told)}).encode() + b"\n")


def _parts_of(error: BiofmError) -> dict[str, Any]:
    parts: dict[str, Any] = {
        name: getattr(error, name)[:LONGEST_TEXT] for name in ("what", "where", "remedy")
    }
    return parts | {"notes": [note[:LONGEST_TEXT] for note in getattr(error, "__notes__", ())][:MOST_NOTES]}


def _crash_of(error: BaseException) -> dict[str, Any]:
    """Return what the parent is told of an unexpected error, and whether the kernel refused something."""
    refused = refusal_in(error)
    return {
        "kind": type(error).__name__,
        "text": str(error)[:LONGEST_TEXT],
        "refused": "" if refused is None else str(refused)[:LONGEST_TEXT],
        "is_memory": isinstance(error, MemoryError) or _no_memory_in(error),
        "is_full": isinstance(error, OSError) and error.errno == errno.EFBIG,
    }


def refusal_in(error: BaseException | None) -> OSError | None:
    """Return the error of the system that says what the kernel refused, if it led to this error.

    Args:
        error: The error that ended a job, or None.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EPERM, errno.EACCES):
            return error
        error = error.__cause__ or error.__context__
    return None


def _no_memory_in(error: BaseException) -> bool:
    """Return whether the system or torch says that memory is short, which is no MemoryError then."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
