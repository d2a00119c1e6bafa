"""The tests in ``interpreted/``: kernels on the CPU, by Triton's interpreter, in a process of their own."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).parent / "interpreted"

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed: Linux has it")


def run_interpreted(path: Path, marked: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", str(path), "-m", marked, "-q", "-p", "no:cacheprovider"]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("test_*.py")), ids=lambda path: path.stem)
def test_kernels_are_right_in_the_interpreter(path: Path) -> None:
    result = run_interpreted(path, "not slow")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("test_*.py")), ids=lambda path: path.stem)
def test_kernels_are_right_in_the_interpreter_on_larger_inputs(path: Path) -> None:
    result = run_interpreted(path, "slow")
    no_such_test = pytest.ExitCode.NO_TESTS_COLLECTED
    assert result.returncode in (0, no_such_test), result.stdout + result.stderr
