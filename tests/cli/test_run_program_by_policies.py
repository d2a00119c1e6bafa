"""``run-program`` under policies: ``script`` lets a caller's program run, and ``clinical-agent`` does not."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.ledgers import open_ledger
from tests.programs import SHAPE, Smooth, save_array, save_program, some_array

Run = Callable[..., "subprocess.CompletedProcess[str]"]
WORDS = ("run-program", "program.pt2", "input.npy", "-o", "output.npy")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Returns a function that runs ``biofm`` in a fresh process, in a folder with a program and an array."""
    monkeypatch.chdir(tmp_path)
    save_program(Smooth(), torch.zeros(3, 4, 5))
    save_array(some_array())

    def run_with(*words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if name != "BIOFM_POLICY"}
        environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "XDG_STATE_HOME": str(tmp_path / "state")}
        environment |= {
            "XDG_CONFIG_HOME": str(tmp_path / "config"),
            "HOME": str(tmp_path / "home"),
            **variables,
        }
        command = [sys.executable, "-m", "biofm.cli", *words]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    return run_with


def told(folder: Path) -> list[tuple[str, str]]:
    """Return the decisions and rules of all requests in the ledger."""
    with closing(open_ledger(folder / "state" / "biofm" / "ledger.sqlite3")) as ledger:
        return ledger.execute("SELECT decision, rule FROM requests").fetchall()


@pytest.mark.slow
@pytest.mark.parametrize("is_option", [True, False])
def test_script_runs_a_callers_program(is_option: bool, run: Run, tmp_path: Path) -> None:
    done = run("--policy", "script", *WORDS) if is_option else run(*WORDS, BIOFM_POLICY="script")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert np.load("output.npy", allow_pickle=False).shape == SHAPE
    assert told(tmp_path) == [("allow", "script: public-data")]


@pytest.mark.parametrize("is_option", [True, False])
def test_clinical_agent_refuses_it_by_the_name_of_the_rule(is_option: bool, run: Run, tmp_path: Path) -> None:
    name = "clinical-agent"
    before = sorted(path.name for path in tmp_path.glob("*.npy"))
    done = run("--policy", name, *WORDS) if is_option else run(*WORDS, BIOFM_POLICY=name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "biofm: run_program: the policy does not allow this (rule 'clinical-agent: no-code'): beside private "
        "data no program of a caller is run. Run it under the policy script, with synthetic or public data\n"
    )
    assert sorted(path.name for path in tmp_path.glob("*.npy")) == before
    assert told(tmp_path) == [("refuse", "clinical-agent: no-code")]


def test_script_beside_clinical_agent_is_no_way_around_it(run: Run, tmp_path: Path) -> None:
    done = run("--policy", "script", *WORDS, BIOFM_POLICY="clinical-agent")
    assert done.returncode == 1
    assert "rule 'clinical-agent: no-code'" in done.stderr
    assert not (tmp_path / "output.npy").exists()
