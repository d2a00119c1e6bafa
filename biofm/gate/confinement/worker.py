"""The parent's side of the confinement starts a worker, waits for it, and says how it ended."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO, Generic, NoReturn, TypeVar

from biofm_datasets.documents import from_json, parse_json

from biofm.core import errors
from biofm.core.errors import BiofmError, ProcessError, RefusedError
from biofm.core.text import format_bytes
from biofm.gate.confinement import bootstrap
from biofm.gate.confinement.channels import new_memory, seal, widen
from biofm.gate.confinement.grant import ALL_LAYERS, Grant, Layer
from biofm.gate.confinement.inside import Start, Told
from biofm.gate.confinement.landlock import landlock_version
from biofm.gate.confinement.places import file_of_biofm, find_packages, package_folders

MOST_ANSWERED_BYTES = 1 << 20
MOST_SAID_BYTES = 2000
"""How much of what a worker printed last is kept for a message."""
CHUNK_BYTES = 1 << 16
PROGRESS = b'{"progress": '
LONGEST_WAIT_S = 3600.0
"""The system waits no longer than some weeks at once."""
END_S = 10.0
"""How long a worker that has answered may take to end."""
VARIABLES = (
    "GOMP_CPU_AFFINITY", "KMP_AFFINITY", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "TZ",
)  # fmt: skip
VARIABLE_STARTS = ("LC_", "MKL_NUM_", "NUMEXPR_NUM_", "OMP_", "OPENBLAS_", "VECLIB_NUM_")
"""The variables that a worker gets: languages, numbers of threads, and where libraries are."""
FIXED = {"HOME": "/", "TORCHINDUCTOR_CACHE_DIR": "/"}
"""torch stops where it has no folder for compiled code. This one is there, and cannot be written."""
KINDS = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, BiofmError)
}

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """Says how a worker was confined and how it ended, for the ledger.

    Attributes:
        module: The module that did the job.
        layers: What confined the worker.
        landlock_version: The version of Landlock that held it; 0 without Landlock.
        end: One of "finished", "fault", "refused", "crashed", "time", "processor time", "memory", "file
            size", "killed" and "stopped".
        refused: What the kernel refused, as far as the worker said it.
    """

    module: str
    layers: tuple[str, ...]
    landlock_version: int
    end: str
    refused: str


@dataclass(frozen=True, slots=True)
class Finished(Generic[R]):
    """Holds what a worker answered.

    Attributes:
        result: The typed result.
        memory: What the worker put into its memory, from the start. Nobody can change it any more.
    """

    result: R
    memory: BinaryIO


class _EndError(Exception):
    """Carries how a worker ended, and the error that tells the user."""

    def __init__(self, end: str, error: BiofmError, refused: str = "") -> None:
        super().__init__(end)
        self.end, self.error, self.refused = end, error, refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """Starts a module in a fresh interpreter that the kernel confines.

    The module has a function ``run(job, files, memory)`` and the type ``JOB`` of its first argument, a
    dataclass. ``files`` are the granted files by role, ``memory`` an empty file of ``grant.file_bytes`` at
    most, and the result another dataclass. Both dataclasses travel as JSON.

    Attributes:
        module: The module, which stands in the table of the verbs' declarations.
        grant: What the worker may use.
        time_s: How many seconds it may take in all.
        name: What messages call it, such as "the program".
        answer_bytes: How many bytes its answer may have.
        folder: The folder that it works in, by which it takes relative paths.
        layers: What confines it.
        report: Is called once for each run, with how it ended.
        on_progress: Is called with the name of the work and the share of it that is done, or None.
    """

    module: str
    grant: Grant
    time_s: float
    name: str = "the worker"
    answer_bytes: int = MOST_ANSWERED_BYTES
    folder: str = "/"
    layers: frozenset[Layer] = ALL_LAYERS
    report: Callable[[Confinement], None] | None = None
    on_progress: Callable[[str, float | None], None] | None = None

    @contextmanager
    def run(self, job: Any, result: type[R]) -> Iterator[Finished[R]]:
        """Do a job: ``with worker.run(job, Result) as finished:``.

        Args:
            job: The job, a dataclass of the type that the module names.
            result: The dataclass of the result.

        Raises:
            RefusedError: The kernel refused something that the job tried, or the worker is not confined.
            ProcessError: The worker took too long or too much memory, crashed, or gave no valid answer.
            BiofmError: The job says so, for example because an input is wrong.
        """
        with ExitStack() as opened:
            memory = opened.enter_context(new_memory(self.grant.array_bytes))
            try:
                answer = self._answer(job, memory)
                value = self._value(answer, result)
            except _EndError as end:
                self._tell(end.end, end.refused)
                raise end.error from None
            except BaseException:
                self._tell("stopped")
                raise
            self._tell("finished")
            yield Finished(value, memory)

    def _tell(self, end: str, refused: str = "") -> None:
        if self.report is not None:
            is_held = Layer.LANDLOCK in self.layers
            told = Confinement(
                module=self.module,
                layers=tuple(sorted(self.layers)),
                landlock_version=landlock_version() if is_held else 0,
                end=end,
                refused=refused,
            )
            self.report(told)

    def _answer(self, job: Any, memory: BinaryIO) -> dict[str, Any]:
        """Start the worker and return its answer. It has ended and is reaped, whatever happens."""
        if sys.platform == "win32":
            raise _EndError("refused", RefusedError(f"{self.name} cannot be confined on Windows"))
        reading, writing = os.pipe()
        with open(reading, "rb") as answers:
            try:
                process = self._start(writing, memory)
            finally:
                os.close(writing)
            try:
                self._send(process, self._start_line(writing, memory), job)
                answered, said = self._listen(process, answers)
                process.wait(END_S if answered else None)
            except subprocess.TimeoutExpired:
                pass  # It has answered and need not end by itself.
            finally:
                process.kill()
                process.wait()
                assert process.stderr is not None
                process.stderr.close()
        seal(memory)
        return self._parsed(answered) if answered else self._explain(process.returncode, said)

    def _start(self, writing: int, memory: BinaryIO) -> "subprocess.Popen[bytes]":
        descriptors = (writing, memory.fileno(), *self.grant.descriptors(), *self.grant.written)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", bootstrap.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
            env=_environment(has_devices=bool(self.grant.devices)),
            cwd=self.folder,
            start_new_session=True,  # Signals of the terminal reach the parent, which ends the worker.
        )

    def _start_line(self, writing: int, memory: BinaryIO) -> bytes:
        start = Start(
            biofm=file_of_biofm(),
            packages=find_packages(self.module.partition(".")[0]),
            paths=package_folders(sys.path),
            module=self.module,
            grant=self.grant,
            layers=tuple(sorted(self.layers)),
            answer=writing,
            memory=memory.fileno(),
        )
        return json.dumps(asdict(start)).encode() + b"\n"

    def _send(self, process: "subprocess.Popen[bytes]", line: bytes, job: Any) -> None:
        sent = line + json.dumps(asdict(job), allow_nan=False).encode()
        assert process.stdin is not None
        if len(sent) > widen(process.stdin.fileno()):
            what = f"{self.name} is told of too many files or options at once ({format_bytes(len(sent))})"
            raise _EndError("stopped", ProcessError(what, remedy="Give it fewer at a time"))
        try:
            process.stdin.write(sent)
            process.stdin.close()
        except BrokenPipeError:
            pass  # It ended before it read the job: how it ended says more.

    def _listen(self, process: "subprocess.Popen[bytes]", answers: BinaryIO) -> tuple[bytes, str]:
        """Return the answer, which is empty if the worker ended without one, and what it printed last."""
        assert process.stderr is not None
        end = time.monotonic() + self.time_s
        answered, said = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(answers, selectors.EVENT_READ, answered)
            selector.register(process.stderr, selectors.EVENT_READ, said)
            while answers.fileno() in {key.fd for key in selector.get_map().values()}:
                ready = selector.select(min(LONGEST_WAIT_S, max(0.0, end - time.monotonic())))
                if not ready and time.monotonic() >= end:
                    raise self._too_long()
                for key, _ in ready:
                    found = os.read(key.fd, CHUNK_BYTES)
                    key.data.extend(found)
                    del said[:-MOST_SAID_BYTES]
                    self._pass_on(answered)
                    if not found:
                        selector.unregister(key.fileobj)
                if len(answered) > self.answer_bytes:
                    raise self._invalid("it is too long")
            if not answered:
                self._await(process, end)
        return bytes(answered), said.decode(errors="replace")

    def _pass_on(self, answered: bytearray) -> None:
        """Take what tells the progress from the start of what a worker sent, and pass it on."""
        while answered.startswith(PROGRESS) and (end := answered.find(b"\n")) >= 0:
            try:
                told = from_json(Told, parse_json(bytes(answered[:end]))["progress"], "the progress")
            except (ValueError, KeyError, TypeError) as error:
                raise self._invalid(str(error)) from error
            del answered[: end + 1]
            if self.on_progress is not None:
                self.on_progress(told.label, told.fraction)

    def _await(self, process: "subprocess.Popen[bytes]", end: float) -> None:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise self._too_long() from None

    def _too_long(self) -> _EndError:
        what = f"{self.name} was stopped, because it took longer than {self.time_s:g} seconds"
        return _EndError("time", ProcessError(what, remedy="Allow it more time, or give it less to do"))

    def _invalid(self, why: str) -> _EndError:
        what = f"the answer of {self.name} is not valid ({why})"
        return _EndError("crashed", ProcessError(what, remedy="Do not trust what it read"))

    def _parsed(self, answered: bytes) -> dict[str, Any]:
        try:
            answer = parse_json(answered)
        except ValueError as error:
            raise self._invalid(str(error)) from error
        if not isinstance(answer, dict) or len(answer) != 1:
            raise self._invalid("it is not an object with one entry")
        return answer

    def _value(self, answer: dict[str, Any], result: type[R]) -> R:
        """Return the result of an answer, or raise how the worker ended instead."""
        try:
            match answer:
                case {"error": found}:
                    self._raise_fault(from_json(_Fault, found, "the error"))
                case {"crash": found}:
                    self._raise_crash(from_json(_Crash, found, "the error"))
                case {"result": found}:
                    value: R = from_json(result, found, "the result")
                    return value
        except ValueError as error:
            raise self._invalid(str(error)) from error
        raise self._invalid("it has an unknown entry")

    def _raise_fault(self, fault: "_Fault") -> NoReturn:
        kind = KINDS.get(fault.kind)
        if kind is None:
            raise self._invalid(f"{fault.kind!r} is no error of biofm")
        error = kind(fault.what, where=fault.where, remedy=fault.remedy)
        for note in fault.notes:
            error.add_note(note)
        raise _EndError("refused" if kind is RefusedError else "fault", error)

    def _raise_crash(self, crash: "_Crash") -> NoReturn:
        if crash.is_memory:
            raise self._out_of_memory()
        if crash.is_full:
            limit = format_bytes(self.grant.file_bytes)
            what = f"{self.name} tried to write more than {limit}"
            raise _EndError("file size", ProcessError(what, remedy="Allow it more, or give it less to do"))
        if crash.refused:
            what = f"{self.name} tried something that its confinement refuses: {crash.refused}"
            remedy = "Do not trust it: it needs neither other files, nor other programs, nor a network"
            raise _EndError("refused", RefusedError(what, remedy=remedy), crash.refused)
        error = ProcessError(f"{self.name} failed with {crash.kind}: {crash.text}")
        raise _EndError("crashed", error)

    def _out_of_memory(self) -> _EndError:
        limit = format_bytes(self.grant.memory_bytes)
        what = f"{self.name} needs more memory than the {limit} that it may have"
        return _EndError("memory", ProcessError(what, remedy="Allow it more, or give it less to do"))

    def _explain(self, code: int, said: str) -> NoReturn:
        """Raise how a worker ended that gave no answer."""
        last = said.strip().splitlines()[-1:]
        tail = f" ({last[0]})" if last else ""
        if code == -signal.SIGXCPU:
            what = f"{self.name} was stopped, because it used its {self.grant.cpu_s} s of processor time"
            remedy = "Allow it more time, or give it less to do"
            raise _EndError("processor time", ProcessError(what, remedy=remedy))
        if "bad_alloc" in said or "Cannot allocate memory" in said or "MemoryError" in said:
            raise self._out_of_memory()
        if code == -signal.SIGKILL:
            what = f"{self.name} was killed by the system, which may have had too little memory"
            raise _EndError("killed", ProcessError(what, remedy="Free memory, and try again"))
        how = f"by the signal {signal.Signals(-code).name}" if code < 0 else f"with the exit code {code}"
        raise _EndError("crashed", ProcessError(f"{self.name} ended {how}, without an answer{tail}"))


@dataclass(frozen=True, slots=True)
class _Fault:
    """Holds an error of biofm as a worker sends it."""

    kind: str
    what: str
    where: str
    remedy: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Crash:
    """Holds any other error as a worker sends it."""

    kind: str
    text: str
    refused: str
    is_memory: bool
    is_full: bool


def _environment(*, has_devices: bool) -> dict[str, str]:
    """Return the variables of a worker."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in VARIABLES or name.startswith(VARIABLE_STARTS)
    }
    return kept | FIXED | ({} if has_devices else {"CUDA_VISIBLE_DEVICES": ""})
