"""Signals to a process that trains: the first waits for the end of the step, the second for nothing."""

import os
import signal
from collections.abc import Iterator

import pytest

from biofm.core.signals import OF_TERMINALS
from biofm.training.interruption import Interruption


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_DFL) for number in OF_TERMINALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def step(numbers: list[int], done: list[str]) -> None:
    """A step in which these signals come."""
    with Interruption().deferred():
        for number in numbers:
            os.kill(os.getpid(), number)
        done.append("the step")


@pytest.mark.parametrize("number", OF_TERMINALS)
def test_the_end_of_a_terminal_waits_for_the_step_however_often_it_is_sent(number: int) -> None:
    """The shell and the system both send it."""
    done: list[str] = []
    with pytest.raises(SystemExit) as end:
        step([number, number], done)
    assert end.value.code == 128 + number
    assert done == ["the step"]


def test_a_second_signal_of_a_user_ends_the_run_at_once() -> None:
    done: list[str] = []
    with pytest.raises(SystemExit) as end:
        step([signal.SIGHUP, signal.SIGTERM], done)
    assert end.value.code == 128 + signal.SIGHUP
    assert not done
