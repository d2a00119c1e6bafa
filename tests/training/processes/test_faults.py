"""The first process to leave a run tells why, also where it must end amid a call to one that is gone."""

import os
from pathlib import Path
from typing import NoReturn

import pytest

from biofm.training import faults


def test_a_process_that_hangs_says_its_last_words_unless_another_one_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def leave(code: int) -> NoReturn:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    for _ in range(2):
        with pytest.raises(SystemExit) as caught:
            faults._give_up("process 1 of this machine was killed by SIGKILL", tmp_path)
        assert caught.value.code == 1
    assert capfd.readouterr().err == (
        "biofm: the run is over, because process 1 of this machine was killed by SIGKILL. "
        "Repeat the command with --resume to begin again\n"
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
    assert faults._is_of_a_lost_process(error) == expected
