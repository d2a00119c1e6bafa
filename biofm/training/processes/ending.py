"""Early ends: a signal ends a run before its last step, or one of its processes fails.

A signal takes effect at the end of the step. Of several processes, the first that ends creates a file beside
the checkpoints and reports the reason. The others lose their connection to it, find that file and end without
a message, so that the user reads one message. A process that was killed creates no file; the first process
that misses it reports that.
"""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import torch
from torch.distributed import DistError

from biofm.core.errors import ProcessError
from biofm.core.signals import OF_TERMINALS, Heard, ending_signals, one_deferred
from biofm.training.folder import newest_step
from biofm.training.processes.crew import SECONDS_BETWEEN_LOOKS, Crew, SilentExit
from biofm.training.processes.launch import kill_children
from biofm.training.processes.meeting_place import leave_place

if TYPE_CHECKING:
    from lightning import Trainer  # takes seconds to import

END_MARK = ".ended"  # removed when the run is resumed, like all other files beside the checkpoints

SECONDS_FOR_MAIN = 2.0

# gloo has no exception class. These are messages of its transport (gloo/transport/tcp) and of c10d around it.
_OF_GLOO = re.compile(r"gloo[/:]|Gloo|Connection (closed|reset) by peer|Broken pipe|Connection refused")


class Interruption:
    """Holds Ctrl-C, SIGTERM and similar signals back until the end of the step.

    Only then do weights, optimiser and counters agree. A second signal ends the run at once; a resumed run
    then starts from the last checkpoint on disk.

    Args:
        is_main: Whether this is the first process of the run, which raises what the signal means.
    """

    def __init__(self, *, is_main: bool = True) -> None:
        self.is_main = is_main
        self.received: int | None = None

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Hold signals back until the end of the ``with``.

        Raises:
            KeyboardInterrupt: SIGINT came, and this is the first process.
            SystemExit: Another signal came, and this is the first process.
            SilentExit: A signal came, and this is another process.
        """
        before = {number: signal.getsignal(number) for number in ending_signals()}
        self._listen(before)
        try:
            with one_deferred():
                yield
        except (ProcessError, SilentExit):  # torchrun then ends the others by SIGTERM
            before[signal.SIGTERM] = signal.SIG_IGN
            raise
        except SystemExit:  # Lightning raises it after a second signal, with another status
            if self.received is None:
                raise
        finally:
            if _can_listen():
                for number, handler in before.items():
                    signal.signal(number, handler)
        if self.received is not None:
            if not self.is_main:
                raise SilentExit(128 + self.received)
            _stop(self.received)

    def has_come(self, trainer: "Trainer") -> bool:
        """Return whether any of the processes got a signal.

        All processes must call this together, and all get the same answer.

        Args:
            trainer: Lightning's trainer, by which the processes exchange their answers.
        """
        agreed = self.received or 0
        if trainer.world_size > 1:
            own = torch.tensor(agreed, device=trainer.strategy.root_device)
            agreed = int(trainer.strategy.reduce(own, reduce_op="max"))
        if agreed:
            self.received = agreed  # only now: a signal that came meanwhile waits for the next call
        return agreed > 0

    def _listen(self, numbers: Iterable[int]) -> None:
        if _can_listen():
            for number in numbers:
                signal.signal(number, Heard(self._remember))

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        elif number not in OF_TERMINALS:  # when a terminal closes, the shell and the system both send one
            _stop(number)


def _can_listen() -> bool:
    """Return whether this is the main thread: only that one may set handlers, and it gets every signal."""
    return threading.current_thread() is threading.main_thread()


def _stop(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@contextmanager
def one_message(crew: Crew, checkpoints: Path) -> Iterator[None]:
    """Make only one process report why the run ended, whichever processes fail within the ``with``.

    An error of this process itself is raised unchanged.

    Args:
        crew: The processes of the run.
        checkpoints: The folder of its checkpoints.

    Raises:
        ProcessError: Another process is gone.
        SilentExit: Another process reports the reason.
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
            _wait_for_main(crew, checkpoints)
        is_first = _make_end_mark(checkpoints)
        if not isinstance(error, Exception):  # a signal: the exit code is enough for the person who sent it
            raise
        if not is_first:
            raise SilentExit(1) from error
        if is_of_another:
            raise _lost(crew.explain_lost(), checkpoints) from error
        raise


def remove_end_mark(checkpoints: Path) -> None:
    """Remove the mark of an earlier end, because the run is resumed.

    Args:
        checkpoints: The folder of its checkpoints.
    """
    (checkpoints / END_MARK).unlink(missing_ok=True)


def _make_end_mark(checkpoints: Path) -> bool:
    """Mark the run as ended, and return whether this process was the first to do so."""
    try:
        (checkpoints / END_MARK).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _wait_for_main(crew: Crew, checkpoints: Path) -> None:
    """Wait until the first process ends, if it lives: it knows best how the others ended."""
    end = time.monotonic() + SECONDS_FOR_MAIN
    while time.monotonic() < end and not (checkpoints / END_MARK).exists() and crew.is_main_there():
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _is_of_a_lost_process(error: BaseException | None) -> bool:
    """Return whether the error comes from a lost connection to another process, not from this process."""
    while error is not None:
        if isinstance(error, DistError) or (isinstance(error, RuntimeError) and _OF_GLOO.search(str(error))):
            return True
        error = error.__cause__
    return False


def _lost(lost: str, checkpoints: Path) -> ProcessError:
    step = newest_step(checkpoints)
    where_to = "start again" if step is None else f"continue from step {step}"
    what = f"the run ended, because {lost}"
    return ProcessError(what, remedy=f"Repeat the command with --resume to {where_to}")


def _give_up(lost: str, checkpoints: Path) -> None:
    """End this process at once: it hangs in a call to a lost process, where no exception reaches it."""
    if _make_end_mark(checkpoints):
        print(f"biofm: {_lost(lost, checkpoints)}", file=sys.stderr, flush=True)  # noqa: T201  # last words
    kill_children()
    leave_place()
    os._exit(1)
