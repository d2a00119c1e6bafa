"""How a run ends before its last step: asked to by a signal, or because one of its processes failed.

A signal waits for the end of the step. Of several processes, the first one that leaves makes a file among the
checkpoints, and says why it leaves. The others lose their connection to it, find that file and leave in
silence, so that the user reads one message. A process that was killed made no file: whoever misses it first
says so.
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

END_MARK = ".ended"  # removed when the run goes on, as whatever else lies beside the checkpoints

SECONDS_FOR_MAIN = 2.0

# gloo has no exception of its own. These are of its transport (gloo/transport/tcp), and of c10d's around it.
_OF_GLOO = re.compile(r"gloo[/:]|Gloo|Connection (closed|reset) by peer|Broken pipe|Connection refused")


class Interruption:
    """Puts off Ctrl-C, SIGTERM and the like to the end of the step, when weights, optimiser and counters
    agree.

    A second signal ends the run at once; resumed, it goes on from the last checkpoint on disk.
    """

    def __init__(self, *, is_main: bool = True) -> None:
        self.is_main = is_main
        self.received: int | None = None

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Put signals off within the ``with``.

        At its end, raises what a signal that came means: KeyboardInterrupt or SystemExit in the first
        process, SilentExit in the others.
        """
        before = {number: signal.getsignal(number) for number in ending_signals()}
        self._listen(before)
        try:
            with one_deferred():
                yield
        except (ProcessError, SilentExit):  # when torchrun ends the others too, by the signal
            before[signal.SIGTERM] = signal.SIG_IGN
            raise
        except SystemExit:  # which Lightning makes of a second signal, with a status of its own
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
        """Whether any of the processes got a signal. All of them must ask, and all get the same answer."""
        agreed = self.received or 0
        if trainer.world_size > 1:
            own = torch.tensor(agreed, device=trainer.strategy.root_device)
            agreed = int(trainer.strategy.reduce(own, reduce_op="max"))
        if agreed:
            self.received = agreed  # else it stays: one may have come meanwhile, for the next time
        return agreed > 0

    def _listen(self, numbers: Iterable[int]) -> None:
        if _can_listen():
            for number in numbers:
                signal.signal(number, Heard(self._remember))

    def _remember(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
        elif number not in OF_TERMINALS:  # whose end the shell and the system both send
            _stop(number)


def _can_listen() -> bool:
    """Whether this is the main thread, which alone may set handlers, and which gets every signal."""
    return threading.current_thread() is threading.main_thread()


def _stop(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@contextmanager
def one_message(crew: Crew, checkpoints: Path) -> Iterator[None]:
    """Around what several processes do together: the user reads one message of why the run ended.

    Raises ProcessError: another process is gone. SilentExit: another process says what was wrong. A fault of
    this process's own is raised as it is.
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
        if not isinstance(error, Exception):  # a signal: the exit code tells, and who asked for it knows
            raise
        if not is_first:
            raise SilentExit(1) from error
        if is_of_another:
            raise _lost(crew.explain_lost(), checkpoints) from error
        raise


def remove_end_mark(checkpoints: Path) -> None:
    """Forget that a process left the run, which goes on now."""
    (checkpoints / END_MARK).unlink(missing_ok=True)


def _make_end_mark(checkpoints: Path) -> bool:
    """Whether this process is the first to leave, and so the one that says why."""
    try:
        (checkpoints / END_MARK).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _wait_for_main(crew: Crew, checkpoints: Path) -> None:
    """Wait for the first process to leave, if it is there: it knows more of what became of the others."""
    end = time.monotonic() + SECONDS_FOR_MAIN
    while time.monotonic() < end and not (checkpoints / END_MARK).exists() and crew.is_main_there():
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _is_of_a_lost_process(error: BaseException | None) -> bool:
    """Whether the error says that the connection to another process was lost, not that this one failed."""
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
    """End this process at once: it hangs in a call to one that is gone, and no exception reaches it."""
    if _make_end_mark(checkpoints):
        print(f"biofm: {_lost(lost, checkpoints)}", file=sys.stderr, flush=True)  # noqa: T201  # last words
    kill_children()
    leave_place()
    os._exit(1)
