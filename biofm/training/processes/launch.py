"""Starting the other processes of a run on this machine, and ending them.

Lightning's own launcher kills the first process without a word when another one ends. Processes started here
end with a message; to Lightning they are processes that somebody else started.
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
SECONDS_TO_BE_SEEN = 1.0  # from a closed connection to an ended process
QUIET = {"TORCH_CPP_LOG_LEVEL": "ERROR"}  # no stack of C++ for each lost connection: one message tells

_children: list[subprocess.Popen[bytes]] = []


def launch(processes: Processes) -> None:
    """Run this command ``n_local - 1`` times more, each with its own LOCAL_RANK in the environment.

    When this process ends, it waits ten seconds for each of them, and kills those that are still there.

    Raises OptionError: this process is a prompt, which has no command that could be run again.
    """
    if hasattr(sys, "ps1"):
        what = "several processes need a command that each of them can run, which a prompt is not"
        raise OptionError(what, where="--devices", remedy="Give 1, or run a script or `biofm pretrain`")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes.n_local)))
    os.environ["LOCAL_RANK"] = "0"
    atexit.register(_end_children)
    command = [sys.executable, *sys.orig_argv[1:]]
    # By a thread: signals, which Python hears in the main one alone, never find a child that is not listed.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(_start, command, processes.n_local - 1).result()


def _start(command: list[str], n: int) -> None:
    for rank in range(1, n + 1):
        environment = QUIET | os.environ | {"LOCAL_RANK": str(rank)}
        _children.append(subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL))


def await_ended() -> str | None:
    """What became of a process that this one started, also of one that ends within the next second."""
    end = time.monotonic() + SECONDS_TO_BE_SEEN
    while (ended := find_ended()) is None and _children and time.monotonic() < end:
        time.sleep(SECONDS_TO_BE_SEEN / 100)
    return ended


def find_ended() -> str | None:
    """What became of a process that this one started; None while all of them run. If several have ended, one
    that was killed is named first, because others end for want of it.
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
    """Wait for the processes that this one started; kill those that do not end by themselves."""
    with suppress(subprocess.TimeoutExpired):
        for child in _children:
            child.wait(SECONDS_TO_END)
    kill_children()
