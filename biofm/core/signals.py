"""Signals that end the program: by an exception where Python can run the handler, otherwise by force.

Python runs a signal handler between two bytecode instructions. An instruction that takes minutes (the
attention of a protein of a hundred thousand residues, a hostile file in a C library) would keep Ctrl-C and
SIGTERM waiting as long. A thread therefore learns of each signal at once and, if the handler has not run
within ``SECONDS_TO_HEAR``, ends the process as SIGKILL would. A run can be resumed after that.
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
# Of a terminal that closes, and of Ctrl-backslash; `nohup` lets a program ignore the first. Not in Windows.
OF_TERMINALS = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGQUIT") if hasattr(signal, name))
SECONDS_TO_HEAR = 5.0
SECONDS_BETWEEN_LOOKS = 0.1

Handler = Callable[[int, FrameType | None], object]


class _State:
    """What the watching thread and the main thread share.

    is_watched: whether the thread runs. heard_at: the time, by ``time.monotonic``, at which a handler last
    ran. n_deferred: how many signals may still come before one ends the process by force.
    """

    is_watched = False
    heard_at = -SECONDS_TO_HEAR
    n_deferred = 0


def ending_signals() -> tuple[int, ...]:
    """Return the signals that end this program. Those of a terminal are left out where the process ignores
    them.
    """
    ignored = (signal.SIG_IGN, None)  # None: a handler that is not of Python
    return (*SIGNALS, *(number for number in OF_TERMINALS if signal.getsignal(number) not in ignored))


def listen(handler: Handler) -> None:
    """Call ``handler`` at each signal that ends the program, and end the process by force where the handler
    cannot run. To be called once, by the main thread of a command.
    """
    for number in ending_signals():
        signal.signal(number, Heard(handler))
    if sys.platform == "win32" or _State.is_watched:
        return
    _State.is_watched = True
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # A process that is forked, such as one that prepares batches, has its signals for itself.
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
    threading.Thread(target=_watch, args=(reading,), daemon=True, name="signals").start()


class Heard:
    """A handler that records when it ran. The watching thread ends a process by force for handlers of this
    kind alone.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> object:
        _State.heard_at = time.monotonic()
        return self._handler(number, frame)


@contextmanager
def one_deferred() -> Iterator[None]:
    """Within the ``with``, the first signal may wait as long as it takes; the second ends the process."""
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
            continue  # the shell and the system both send the end of a terminal, and that is one
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
    """End this process and those that it started, and remove its temporary folders."""
    for child in _children():
        with suppress(OSError):
            leads = os.getpgid(child) == child  # MMseqs2 is a script that starts others
            (os.killpg if leads else os.kill)(child, signal.SIGKILL)
    for folder in folders_to_remove():
        shutil.rmtree(folder, ignore_errors=True)
    os.write(
        2, b"biofm: interrupted in the midst of a long computation. What --resume goes on from is kept\n"
    )
    os._exit(128 + number)


def _children() -> list[int]:
    found: list[int] = []
    for tasks in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, tasks.read_text().split())
    return found
