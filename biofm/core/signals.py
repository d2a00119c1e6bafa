"""Signals that end the program: by an exception where Python hears them, by force where it does not.

Python runs a handler between two of its own steps. One that takes minutes (the attention of a protein of a
hundred thousand residues, a hostile file in a C library) would keep Ctrl-C and SIGTERM waiting as long. A
thread therefore hears of each signal at once, as the system does, and ends the process where the handler
does not come to its turn: as SIGKILL would, after which a run can be resumed.
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
from typing import ClassVar

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Of a terminal that closes, and of Ctrl-backslash; `nohup` lets a program ignore the first. Not in Windows.
OF_TERMINALS = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGQUIT") if hasattr(signal, name))
SECONDS_TO_HEAR = 5.0
SECONDS_BETWEEN_LOOKS = 0.1

Handler = Callable[[int, FrameType | None], object]


class _State:
    """``heard_at``: when a handler last came to its turn. ``n_deferred``: signals that may wait for it.
    ``temporary``: folders that are removed where it ends by force.
    """

    is_watched = False
    heard_at = -SECONDS_TO_HEAR
    n_deferred = 0
    temporary: ClassVar[set[Path]] = set()


def ending_signals() -> tuple[int, ...]:
    """The signals that end this program: those of a terminal where nobody has let it ignore them."""
    ignored = (signal.SIG_IGN, None)  # None: a handler that is not of Python
    return (*SIGNALS, *(number for number in OF_TERMINALS if signal.getsignal(number) not in ignored))


def listen(handler: Handler) -> None:
    """Let ``handler`` hear the signals that end a program, and force an end where it cannot. For the main
    thread of a command.
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
    """A handler that says that it has come to its turn. Others than these are left to themselves."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> object:
        _State.heard_at = time.monotonic()
        return self._handler(number, frame)


@contextmanager
def one_deferred() -> Iterator[None]:
    """A first signal is put off meanwhile, to the end of a step that may take long; a second one is not."""
    _State.n_deferred = 1
    try:
        yield
    finally:
        _State.n_deferred = 0


def remove_at_forced_end(folder: Path) -> None:
    """Have this folder removed, with what is in it, where the process is ended by force."""
    _State.temporary.add(folder)


def keep_at_forced_end(folder: Path) -> None:
    """Take that back, for a folder that has gone or was given up."""
    _State.temporary.discard(folder)


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
    """Leave at once, and no process of ours behind."""
    for child in _children():
        with suppress(OSError):
            leads = os.getpgid(child) == child  # MMseqs2 is a script that starts others
            (os.killpg if leads else os.kill)(child, signal.SIGKILL)
    for folder in list(_State.temporary):
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
