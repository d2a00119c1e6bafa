"""Only one process at a time works in a run's folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from biofm.core import OutputError
from biofm.training.folder import hold_run

HOLD = """
import sys
from pathlib import Path
from biofm.training.folder import hold_run

with hold_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_comes_second_is_told_who_was_first_and_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as first:  # fmt: skip
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(OutputError) as caught, hold_run(tmp_path):
            pytest.fail("two are at work")
        first.kill()

    what = f"another process is at work on this run (process {first.pid} on {os.uname().nodename})"
    assert str(caught.value).startswith(f"{tmp_path}: {what}. Wait until it ends")
    with hold_run(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
