"""A run of several processes on one machine is out of reach of its other users."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.test_pickles import Malice
from tests.training.processes.test_commands import COMMAND, DEADLINE_S, OPTIONS, fasta, said_by_biofm

__all__ = ["fasta"]
NEIGHBOUR = Path(__file__).with_name("neighbour.py")
APART = ["unshare", "--net", "--uts", "--mount"]

Live = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def apart() -> list[str]:
    """Return the start of a command that runs another one as if on another machine."""
    if sys.platform != "linux" or not all(shutil.which(name) for name in ("unshare", "ip", "ss", "mount")):
        pytest.skip("needs Linux with util-linux and iproute2")
    if os.geteuid() or subprocess.run([*APART, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the rights of root, to be two users and to have a network of its own")
    return APART


@pytest.mark.slow
def test_another_user_reaches_nothing_but_loopback_ports_and_changes_nothing_there(
    apart: list[str], fasta: Path, tmp_path: Path
) -> None:
    marker, word = tmp_path / "it-ran", tmp_path / "word"
    word.write_bytes(pickle.dumps(Malice(marker)))
    command = [sys.executable, COMMAND, "pretrain", str(fasta), "--output", str(tmp_path / "run"), *OPTIONS]
    command += ["--devices", "2", "--set", "strategy=fsdp"]
    lived = subprocess.run(
        [*apart, sys.executable, str(NEIGHBOUR), str(tmp_path), str(word), *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True, timeout=2 * DEADLINE_S,
    )  # fmt: skip
    found = json.loads(lived.stdout.splitlines()[-1])
    assert not marker.exists()
    assert found["listened"] == ["127.0.0.1"]
    assert found["reached"] > 0, "the neighbour never got through, so the test showed nothing"
    assert found["opened"] == []
    faults = [line for line in said_by_biofm(found["said"]) if "of other users" not in line]
    if found["exit code"] == 0:
        assert faults == []
    else:
        assert found["exit code"] == 1
        (fault,) = faults
        assert fault.startswith("biofm: the run ended, because ")
