"""Fork server: a process that has imported torch and everything that commands import, and forks others.

Forking takes some milliseconds, while a new Python takes seconds for the same imports. Each request forks new
processes, so that none finds what another one left in memory. One server serves a whole session of pytest:
the fixture ``fork_server`` starts it, and a test calls ``ForkServer.run``.

A request is one line of JSON on the server's standard input. It holds the function to call as
``module:name``, the folder to work in, the arguments and the environment of each process, the files for
standard output and standard error, and a ``Signal`` or null. The answer is one line of JSON with the exit
codes of the processes in order; as in ``subprocess``, the code of a process that a signal ended is negative.
"""

import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

DEADLINE_S = 600.0
"""A process that takes longer hangs: the server kills it, and its exit code is -9."""
POLL_S = 0.001
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}


class Signal(NamedTuple):
    """Holds a signal for a process that still runs ``seconds`` after ``n_changes`` changes of its journal.

    The first change is the creation of the journal.
    """

    number: int
    seconds: float
    journal: Path = Path(os.devnull)
    n_changes: int = 0


class Ended(NamedTuple):
    """Holds the exit codes of the processes of one request, and what they wrote to their standard streams."""

    exit_codes: list[int]
    out: str
    err: str


class ForkServer:
    """Sends the requests of tests to the server and waits for the answers."""

    def __init__(self, process: "subprocess.Popen[str]", streams: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._requests, self._answers = process.stdin, process.stdout
        self._streams = streams

    def run(
        self,
        function: str,
        *arguments: Sequence[object],
        folder: Path,
        variables: Sequence[Mapping[str, str]] = (),
        sent: Signal | None = None,
    ) -> Ended:
        """Call ``function`` ("module:name") in one new process for each of ``arguments``, all at once.

        The processes work in ``folder`` and have the environment of this process, with one thread, and each
        its own ``variables`` if there are any. They write to the same two streams. The function returns the
        exit code, or None for 0. The signal ``sent`` goes to the first process.
        """
        out, err = self._streams / "out", self._streams / "err"
        environments = [environment() | it for it in variables] or [environment()] * len(arguments)
        processes = list(zip(arguments, environments, strict=True))
        request = [function, folder, processes, [out, err], sent]
        out.write_text("")
        err.write_text("")
        print(json.dumps(request, default=str), file=self._requests, flush=True)
        answer = self._answers.readline()
        assert answer, "the fork server has ended"
        return Ended(json.loads(answer), out.read_text(), err.read_text())


def environment() -> dict[str, str]:
    """Return the environment of a forked process: this process's, with one thread and its import paths."""
    return os.environ | ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(sys.path)}


@contextmanager
def started(streams: Path) -> Iterator[ForkServer]:
    """Yield a running fork server, which ends with the block. Its processes write into ``streams``."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.forkserver"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(),
    ) as process:  # fmt: skip
        yield ForkServer(process, streams)
        assert process.stdin is not None
        process.stdin.close()


def serve() -> None:
    """Answer requests in the server until standard input ends."""
    for line in sys.stdin:
        function, folder, processes, streams, values = json.loads(line)
        sent = Signal(*values) if values else None
        children = []
        for arguments, variables in processes:
            children.append(os.fork())
            if not children[-1]:
                _become(function, arguments, Path(folder), variables, streams)
        codes = [_await(child, None if number else sent) for number, child in enumerate(children)]
        print(json.dumps(codes), flush=True)
    os._exit(0)  # the clean-up of torch and lightning at exit takes seconds


def _become(
    function: str, arguments: list[Any], folder: Path, variables: dict[str, str], streams: list[str]
) -> NoReturn:
    """Call the function in a new process, and end as a Python that runs it alone would end."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, stream in zip((1, 2), streams, strict=True):
            os.dup2(os.open(stream, os.O_WRONLY | os.O_APPEND), descriptor)
        module, name = function.split(":")
        code = getattr(import_module(module), name)(*arguments) or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if end.code is not None and not isinstance(end.code, int):
            print(end.code, file=sys.stderr)  # as Python does with the text of a SystemExit
    except KeyboardInterrupt:
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:  # noqa: BLE001  # it must not go on as a second server
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _await(child: int, sent: Signal | None) -> int:
    """Return the exit code of a child, after sending it the signal if it still runs at that moment."""
    ending = os.pidfd_open(child)

    def has_ended(seconds: float) -> bool:
        return bool(select.select([ending], [], [], seconds)[0])

    if sent is not None and not _changes(sent, has_ended) and not has_ended(sent.seconds):
        os.kill(child, sent.number)
    if not has_ended(DEADLINE_S):
        os.kill(child, signal.SIGKILL)
    os.close(ending)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _changes(sent: Signal, has_ended: Callable[[float], bool]) -> bool:
    """Wait until the journal has changed that often; returns whether the process ended before."""
    n_left, seen = sent.n_changes, None
    while n_left > 0:
        if has_ended(POLL_S):
            return True
        now = _changed_at(sent.journal)
        n_left -= now != seen
        seen = now
    return False


def _changed_at(journal: Path) -> int | None:
    try:
        return os.stat(journal).st_mtime_ns
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    import torch

    import tests.heavy  # noqa: F401  # before any fork

    torch.set_num_threads(1)
    serve()
