"""Launch: the first process starts the other processes of a run on this machine, and ends them.

Lightning's own launcher kills the first process without a message when another one ends. Processes started
here end with a message; Lightning takes them for processes that a launcher started.
"""

import atexit
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from signal import Signals

from biofm.core.errors import OptionError
from biofm.training.processes.ranks import Processes

SECONDS_TO_END = 10.0
SECONDS_TO_BE_SEEN = 1.0  # between a closed connection and the end of its process
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # prints no C++ stack for each lost connection

_children: list[subprocess.Popen[bytes]] = []


def launch(processes: Processes) -> None:
    """Run this command ``n_local - 1`` more times, each with its own LOCAL_RANK in the environment.

    When this process ends, it waits for them one after another. If one has not ended within ten seconds, it
    kills all that still run.

    Raises:
        OptionError: This is an interactive Python, which has no command that could be run again.
    """
    if hasattr(sys, "ps1"):
        what = "an interactive Python cannot start several processes, because each has to run a command"
        raise OptionError(what, where="--devices", remedy="Give 1, or run a script or `biofm pretrain`")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes.n_local)))
    os.environ["LOCAL_RANK"] = "0"
    atexit.register(_end_children)
    command = [sys.executable, *sys.orig_argv[1:]]
    # A thread starts them. Python handles signals in the main thread, so no signal interrupts between the
    # start of a child and its entry in the list.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(_start, command, processes.n_local - 1).result()


def _start(command: list[str], n: int) -> None:
    for rank in range(1, n + 1):
        environment = QUIET | os.environ | {"LOCAL_RANK": str(rank)}
        _children.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))


def await_ended() -> str | None:
    """Describe how a process that this one started has ended; wait a second for one that is about to end."""
    end = time.monotonic() + SECONDS_TO_BE_SEEN
    while (ended := find_ended()) is None and _children and time.monotonic() < end:
        time.sleep(SECONDS_TO_BE_SEEN / 100)
    return ended


def find_ended() -> str | None:
    """Describe how a process that this one started has ended; None while all of them run.

    If several have ended, one that was killed comes first, because its loss ends the others.
    """
    codes = {rank: code for rank, child in enumerate(_children, 1) if (code := child.poll()) is not None}
    for rank, code in sorted(codes.items(), key=lambda item: item[1]):
        how = f"was killed by {Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"process {rank} of this machine {how}"
    return None


def kill_children() -> None:
    for child in _children:
        child.kill()
        child.wait()


def _end_children() -> None:
    """Wait for the processes that this one started; if one takes too long, kill all that still run."""
    with suppress(subprocess.TimeoutExpired):
        for child in _children:
            child.wait(SECONDS_TO_END)
    kill_children()
