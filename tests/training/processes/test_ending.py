"""A signal waits for the end of the step, and the first process to end reports the reason."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from biofm.core.signals import OF_TERMINALS
from biofm.training.processes import Interruption, ending


def test_a_process_that_hangs_says_its_last_words_unless_another_one_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            ending._give_up("process 1 of this machine was killed by SIGKILL", tmp_path)
        assert caught.value.code == 1
    assert capfd.readouterr().err == (
        "biofm: the run ended, because process 1 of this machine was killed by SIGKILL. "
        "Repeat the command with --resume to start again\n"
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:525] Read error"), True),
        (RuntimeError("Connection closed by peer [127.0.0.1]:47322"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (ConnectionResetError(104, "Connection reset by peer"), False),  # of a logger, not of the run
        (ValueError("Connection closed by peer"), False),
    ],
)
def test_a_lost_connection_is_told_from_other_faults(error: Exception, expected: bool) -> None:
    assert ending._is_of_a_lost_process(error) == expected


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_DFL) for number in OF_TERMINALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def step(numbers: list[int], done: list[str]) -> None:
    """Make a step in which these signals come."""
    with Interruption().deferred():
        for number in numbers:
            os.kill(os.getpid(), number)
        done.append("the step")


@pytest.mark.parametrize("number", OF_TERMINALS)
def test_the_end_of_a_terminal_waits_for_the_step_however_often_it_is_sent(number: int) -> None:
    """When a terminal closes, the shell and the system both send a signal."""
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
