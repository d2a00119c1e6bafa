"""How a run of several processes ends when one of them fails: once, with one message.

The first process to leave takes the floor, a file among the checkpoints, and says why. The others, which
lose their connection to it, find the floor taken and leave in silence. A process that was killed took no
floor: whoever misses it first tells.
"""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch.distributed import DistError

from biofm.core.errors import ProcessError
from biofm.training.checkpoints import newest_step
from biofm.training.crew import SECONDS_BETWEEN_LOOKS, Crew, SilentExit
from biofm.training.launch import kill_children
from biofm.training.rendezvous import leave_place

FLOOR = ".ended"  # removed when the run goes on, as whatever else lies beside the checkpoints

SECONDS_FOR_MAIN = 2.0

# gloo has no exception of its own. These are of its transport (gloo/transport/tcp), and of c10d's around it.
_OF_GLOO = re.compile(r"gloo[/:]|Gloo|Connection (closed|reset) by peer|Broken pipe|Connection refused")


@contextmanager
def one_message(crew: Crew, checkpoints: Path) -> Iterator[None]:
    """Around what the processes do together.

    Raises ProcessError where another process is gone, SilentExit where another one tells what was wrong; else
    what it was.
    """
    if crew.processes.world_size == 1:
        yield
        return
    try:
        with crew.watched(lambda lost: _give_up(lost, checkpoints)):
            yield
    except BaseException as error:
        is_of_another = _is_of_a_lost_process(error)
        if is_of_another and not crew.is_main:
            _let_main_speak(crew, checkpoints)
        has_floor = _take_floor(checkpoints)
        if not isinstance(error, Exception):  # a signal: the exit code tells, and who asked for it knows
            raise
        if not has_floor:
            raise SilentExit(1) from error
        if is_of_another:
            raise _lost(crew.explain_lost(), checkpoints) from error
        raise


def clear_floor(checkpoints: Path) -> None:
    (checkpoints / FLOOR).unlink(missing_ok=True)


def _take_floor(checkpoints: Path) -> bool:
    """Whether this process is the first to leave."""
    try:
        (checkpoints / FLOOR).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _let_main_speak(crew: Crew, checkpoints: Path) -> None:
    """The first process knows more of what became of the others, if it is there itself."""
    end = time.monotonic() + SECONDS_FOR_MAIN
    while time.monotonic() < end and not (checkpoints / FLOOR).exists() and crew.is_main_there():
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _is_of_a_lost_process(error: BaseException | None) -> bool:
    """Whether a call to the other processes failed, rather than something of this process's own."""
    while error is not None:
        if isinstance(error, DistError) or (isinstance(error, RuntimeError) and _OF_GLOO.search(str(error))):
            return True
        error = error.__cause__
    return False


def _lost(lost: str, checkpoints: Path) -> ProcessError:
    step = newest_step(checkpoints)
    where_to = "begin again" if step is None else f"go on from step {step}"
    what = f"the run is over, because {lost}"
    return ProcessError(what, remedy=f"Repeat the command with --resume to {where_to}")


def _give_up(lost: str, checkpoints: Path) -> None:
    """End this process where it stands: it hangs in a call to one that is gone, and hears nothing."""
    if _take_floor(checkpoints):
        print(f"biofm: {_lost(lost, checkpoints)}", file=sys.stderr, flush=True)  # noqa: T201  # last words
    kill_children()
    leave_place()
    os._exit(1)
