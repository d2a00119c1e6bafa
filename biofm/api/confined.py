"""Where a policy wants whatever reads files to be confined, a whole verb is performed in a worker.

The parent asks the gate, opens the files of the verb and of its models, and starts the worker with them. The
worker performs the verb (``biofm.api.worker``). Then the parent gives the outputs their names.
"""

import importlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Protocol

from biofm.api.opening import open_model
from biofm.api.workers import PERFORMED, VERB_WORKER, WORKERS
from biofm.core.errors import ProcessError
from biofm.core.progress import ProgressSink
from biofm.core.temporary import keep_at_forced_end, remove_at_forced_end, temporary_folder
from biofm.core.typed_json import from_plain
from biofm.gate.handed import Handed, HandedFile
from biofm.policy import Request

if TYPE_CHECKING:
    from biofm.core.progress import Progress
    from biofm.gate import Permit
    from biofm.gate.confinement import Grant
    from biofm.gate.permit import Targets

CPU_S = 30 * 24 * 3600
"""How many seconds of processor time a verb may use: thirty days."""
TIME_S = 30 * 24 * 3600.0
SHARE_OF_MEMORY = 4
"""A worker has this many times the machine's memory as addresses: torch reserves more than it fills."""
LARGEST_FILE_BYTES = 1 << 44
STANDARD_STREAMS = (0, 1, 2)
ANSWER_BYTES = 256 << 20
"""How many bytes the result of a verb may have: the neighbours of some million proteins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbJob:
    """Asks a worker to perform a verb.

    Attributes:
        options: The options of the verb, by their declared names.
        handed: What it gets of the verb's permits.
    """

    options: dict[str, Any]
    handed: Handed


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbResult:
    """Holds the result of a verb in its plain form."""

    value: Any


class Performable(Protocol):
    """Describes a declared verb, with the options of a call."""

    def request(self) -> Request: ...
    def models_loaded(self, request: Request, permit: "Permit") -> tuple[str, ...]: ...
    def exact_options(self) -> dict[str, Any]: ...


def is_required(verb: str) -> bool:
    """Return whether a policy in force wants a verb to be performed in a worker, and it can be.

    Args:
        verb: The name of the verb.
    """
    from biofm.gate import policies_in_force
    from biofm.policy.policies import Policy

    if WORKERS.get(verb) != VERB_WORKER:
        return False
    return any(isinstance(one, Policy) and one.confinement == "required" for one in policies_in_force())


def perform(name: str, verb: Performable, progress: ProgressSink) -> Any:
    """Perform a verb in a confined worker, and return its result.

    Args:
        name: The name of the verb.
        verb: The verb.
        progress: Where its progress is reported.

    Raises:
        BiofmError: What the verb raises, or what the gate refuses.
        ProcessError: The worker crashed, took too much, or gave no valid answer.
    """
    from biofm.gate import ask
    from biofm.gate.confinement import Worker

    request = verb.request()
    with ExitStack() as opened:
        permit = opened.enter_context(ask(request, in_worker=True))
        read = _handed(verb, permit, request, opened)
        spare = opened.enter_context(_spare_folder())
        targets = opened.enter_context(permit.lent())
        handed = _with_outputs(replace(read, labels=permit.labels), targets, request)
        bars = opened.enter_context(closing(_Bars(progress)))
        worker = Worker(
            module=WORKERS[name],
            grant=_grant(handed, spare),
            time_s=TIME_S,
            folder=os.getcwd(),
            name=f"the worker of {name}",
            answer_bytes=ANSWER_BYTES,
            report=permit.note_worker,
            on_progress=bars,
        )
        job = VerbJob(options=verb.exact_options(), handed=handed)
        with worker.run(job, VerbResult) as finished:
            return _typed(name, finished.result.value)


def _handed(verb: Performable, permit: "Permit", request: Request, opened: ExitStack) -> Handed:
    """Return what a worker reads, after opening the models that the verb loads."""
    models, places = {}, {}
    for name in verb.models_loaded(request, permit):
        files, places[name] = opened.enter_context(open_model(name, in_worker=True))
        models[name] = {
            file: HandedFile(descriptor=handle.fileno(), path=file) for file, handle in files.items()
        }
    return Handed(
        verb=request.verb,
        reads={
            role: tuple(
                HandedFile(descriptor=_passable(reader.fileno(), opened), path=str(path))
                for reader, path in zip(permit.readers(role), paths, strict=True)
            )
            for role, paths in request.reads.items()
        },
        files={},
        folders={},
        journals={},
        models=models,
        places=places,
    )


def _passable(descriptor: int, opened: ExitStack) -> int:
    """Return a descriptor that keeps its number in a worker, whose standard streams are its own."""
    if descriptor > STANDARD_STREAMS[-1]:
        return descriptor
    copy = os.dup(descriptor)
    opened.callback(os.close, copy)
    return copy


def _with_outputs(handed: Handed, targets: "Targets", request: Request) -> Handed:
    """Return what is handed over, with what the worker writes."""
    return replace(
        handed,
        files={
            role: HandedFile(descriptor=file.handle.fileno(), path=str(request.writes[role].path))
            for role, file in targets.files.items()
        },
        folders={role: os.path.abspath(folder) for role, folder in targets.folders.items()},
        journals={role: os.path.abspath(journal.path) for role, journal in targets.journals.items()},
    )


def _grant(handed: Handed, spare: str) -> "Grant":
    """Return the grant of a worker: its files, its outputs, and generous limits."""
    from biofm.core.hardware import count_cores
    from biofm.gate.confinement import Grant, Readable
    from biofm.gate.confinement.grant import LEAST_MEMORY_BYTES

    read = {
        str(number): Readable(descriptor=one.descriptor, path=one.path)
        for number, one in enumerate(handed.read())
    }
    in_folders = [os.path.dirname(journal) for journal in handed.journals.values()]
    memory_bytes = SHARE_OF_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Grant(
        cpu_s=CPU_S * count_cores(),
        memory_bytes=max(LEAST_MEMORY_BYTES, memory_bytes),
        file_bytes=LARGEST_FILE_BYTES,
        files=read,
        outputs=(*handed.folders.values(), *in_folders, spare),
        written=tuple(one.descriptor for one in handed.files.values()),
        temporary=spare,
    )


@contextmanager
def _spare_folder() -> Iterator[str]:
    """Make a folder for the temporary files of a worker, which is removed at the end."""
    folder = tempfile.mkdtemp(prefix="biofm-worker-", dir=temporary_folder())
    remove_at_forced_end(Path(folder))
    try:
        yield os.path.abspath(folder)
    finally:
        rmtree(folder, ignore_errors=True)
        keep_at_forced_end(Path(folder))


class _Bars:
    """Shows the progress of a worker, with a bar for each piece of its work."""

    def __init__(self, progress: ProgressSink) -> None:
        self._progress = progress
        self._label = ""
        self._bar: Progress | None = None

    def __call__(self, label: str, fraction: float | None) -> None:
        if self._bar is None or label != self._label:
            self.close()
            self._label, self._bar = label, self._progress.bar(label).__enter__()
        self._bar.update(fraction=fraction)

    def close(self) -> None:
        """Take the last bar away."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)


def _typed(verb: str, value: Any) -> Any:
    """Return the result of a verb from its plain form, which a worker sent."""
    kinds = [getattr(importlib.import_module(module), name) for module, name in PERFORMED[verb].places]
    for kind in kinds:
        try:
            return from_plain(kind, value)
        except ValueError as error:
            fault = error
    what = f"the answer of the worker of {verb} is not valid ({fault})"
    raise ProcessError(what, remedy="Do not trust what it read")
