"""Stopping a run from outside so that it can go on where it stopped."""

import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import torch
from lightning import Trainer

from biofm.core.errors import ProcessError
from biofm.core.signals import OF_TERMINALS, Heard, ending_signals, one_deferred
from biofm.training.crew import SilentExit


class Interruption:
    """Puts Ctrl-C, SIGTERM and the like off to the end of the step, where weights, optimiser and counters
    agree.

    A second signal ends the run at once, and it resumes from the last checkpoint on disk.
    """

    def __init__(self, *, is_main: bool = True) -> None:
        self.is_main = is_main
        self.received: int | None = None

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """At the end of the ``with``, raises what an awaited signal means: KeyboardInterrupt or SystemExit;
        SilentExit in other processes than the first one.
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
            _stop(self.received) if self.is_main else _leave(self.received)

    def has_come(self, trainer: Trainer) -> bool:
        """Whether any of the processes got a signal: all of them ask, get the same answer, and end alike."""
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
    """Python lets the main thread alone set handlers, and gives it every signal."""
    return threading.current_thread() is threading.main_thread()


def _leave(number: int) -> NoReturn:
    raise SilentExit(128 + number)


def _stop(number: int) -> NoReturn:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
