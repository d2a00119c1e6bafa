"""Signals that end the program: by an exception if Python can run the handler, otherwise by force.

Python runs a signal handler between two bytecode instructions. One that takes minutes (the attention of a
protein of a hundred thousand residues, a hostile file in a C library) would delay Ctrl-C and SIGTERM as long.
Therefore a thread receives each signal at once and, if the handler has not run within ``SECONDS_TO_HEAR``,
ends the process as SIGKILL would. The run can be resumed after that.
"""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from biofm.core.temporary import folders_to_remove

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# A terminal that closes sends SIGHUP, which `nohup` lets a program ignore; Ctrl-backslash sends SIGQUIT.
# Windows has neither.
OF_TERMINALS = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGQUIT") if hasattr(signal, name))
SECONDS_TO_HEAR = 5.0
SECONDS_BETWEEN_LOOKS = 0.1

Handler = Callable[[int, FrameType | None], object]


class _State:
    """Holds what the watching thread and the main thread share.

    Attributes:
        is_watched: Whether the thread runs.
        heard_at: When a handler last ran, by ``time.monotonic``, in seconds.
        n_deferred: How many signals may still arrive before one ends the process by force.
    """

    is_watched = False
    heard_at = -SECONDS_TO_HEAR
    n_deferred = 0


def ending_signals() -> tuple[int, ...]:
    """Return the signals that end this program, without a terminal's signals that the process ignores."""
    ignored = (signal.SIG_IGN, None)  # None means that the handler is not Python's.
    return (*SIGNALS, *(number for number in OF_TERMINALS if signal.getsignal(number) not in ignored))


def listen(handler: Handler) -> None:
    """Call ``handler`` at each signal that ends the program, and end the process by force if it cannot run.

    The main thread of a command calls this once.
    """
    for number in ending_signals():
        signal.signal(number, Heard(handler))
    if sys.platform == "win32" or _State.is_watched:
        return
    _State.is_watched = True
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # A forked process, such as one that prepares batches, handles its own signals.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_watch, args=(reading,), daemon=True, name="signals").start()


class Heard:
    """Wraps a signal handler and records when it ran.

    The watching thread ends the process by force only if the handler is of this class.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> object:
        _State.heard_at = time.monotonic()
        return self._handler(number, frame)


@contextmanager
def one_deferred() -> Iterator[None]:
    """Let the first signal within the ``with`` wait for as long as necessary; the second ends the process."""
    _State.n_deferred = 1
    try:
        yield
    finally:
        _State.n_deferred = 0


def _watch(reading: int) -> None:
    heard: set[int] = set()
    while numbers := os.read(reading, 1):
        if not isinstance(signal.getsignal(numbers[0]), Heard):
            continue
        if numbers[0] in OF_TERMINALS and numbers[0] in heard:
            continue  # The shell and the system each send a signal when a terminal closes: it counts once.
        heard.add(numbers[0])
        if _State.n_deferred:
            _State.n_deferred -= 1
            continue
        came_at = time.monotonic() - SECONDS_BETWEEN_LOOKS
        while time.monotonic() < came_at + SECONDS_TO_HEAR and _State.heard_at < came_at:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if _State.heard_at < came_at:
            _end(numbers[0])


def _end(number: int) -> None:
    """End this process and the processes that it started, and remove its temporary folders."""
    for child in _children():
        with suppress(OSError):
            leads = os.getpgid(child) == child  # MMseqs2 is a script that starts other processes.
            (os.killpg if leads else os.kill)(child, signal.SIGKILL)
    for folder in folders_to_remove():
        shutil.rmtree(folder, ignore_errors=True)
    os.write(2, b"biofm: interrupted during a long computation. The work that --resume needs is kept\n")
    os._exit(128 + number)


def _children() -> list[int]:
    found: list[int] = []
    for tasks in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, tasks.read_text().split())
    return found
