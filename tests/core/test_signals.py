"""A process that sits in one long call of a C library, which Python cannot interrupt, ends all the same."""

import os
import signal
import subprocess
import sys

import pytest

SECONDS = 300  # no measure of anything: what has not ended by then hangs

BUSY = """
import hashlib, subprocess, sys, threading
from biofm.core.signals import listen

listen(lambda number, frame: sys.exit(7))
subprocess.Popen(["sleep", "1000"])
threading.Timer(1, print, ["there"], {"flush": True}).start()  # while the main thread sits in the call
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


@pytest.mark.slow
def test_a_call_that_python_does_not_hear_in_is_ended_with_all_children() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SECONDS)  # which waits until nobody holds the pipes
        assert process.returncode == 128 + signal.SIGTERM
        assert said.startswith(b"biofm: interrupted in the midst of a long computation")
