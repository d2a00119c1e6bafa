"""Signals end a process, even one that sits in a long call of a C library, which Python cannot interrupt."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from biofm.core.signals import OF_TERMINALS, SIGNALS, ending_signals

SECONDS = 300  # It measures nothing: a process that has not ended by then hangs.

BUSY = """
import hashlib, subprocess, sys, threading
from pathlib import Path
from biofm.core.signals import listen
from biofm.core.temporary import remove_at_forced_end

remove_at_forced_end(Path(sys.argv[1]))
listen(lambda number, frame: sys.exit(7))
subprocess.Popen(["sleep", "1000"])
threading.Timer(1, print, ["there"], {"flush": True}).start()  # The main thread is within the call then.
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


@pytest.mark.slow
def test_a_call_that_python_does_not_hear_in_is_ended_with_all_children(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (temporary / "work").write_text("of private sequences")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, temporary], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SECONDS)  # It waits until no process has the pipes open.
        assert process.returncode == 128 + signal.SIGTERM
        assert said.startswith(b"biofm: interrupted during a long computation")
        assert not temporary.exists()


@pytest.mark.parametrize("number", OF_TERMINALS)
def test_what_a_program_was_told_to_ignore_does_not_end_it(number: int) -> None:
    """Check this because `nohup` tells a program to ignore SIGHUP."""
    before = {one: signal.signal(one, signal.SIG_DFL) for one in OF_TERMINALS}
    try:
        assert set(ending_signals()) == {*SIGNALS, *OF_TERMINALS}
        signal.signal(number, signal.SIG_IGN)
        assert set(ending_signals()) == {*SIGNALS, *OF_TERMINALS} - {number}
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
