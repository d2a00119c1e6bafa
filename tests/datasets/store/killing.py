"""Work in processes of its own that end at a moment of one's choice."""

import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any


def run_until(moment: int, work: Callable[[], object], number: int = signal.SIGKILL) -> int:
    """Do ``work`` in a fork, which sends itself a signal just before its sync or rename of number ``moment``:
    those are where the state on the disk changes. Returns its exit status, -9 where it was killed.
    """
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    changes = count()

    def ending(change: Callable[..., Any]) -> Callable[..., Any]:
        def end_or(*words: Any) -> Any:
            if next(changes) == moment:
                os.kill(os.getpid(), number)
            return change(*words)

        return end_or

    os.fsync, os.replace, Path.replace = map(ending, (os.fsync, os.replace, Path.replace))  # type: ignore[arg-type, method-assign]
    try:
        work()
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    except BaseException:  # noqa: BLE001  # a fork of pytest must not go on as a second pytest
        os._exit(99)
    os._exit(0)
