"""Fine-tuning in several processes: they train each member together, and the first one evaluates it."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from biofm import api
from biofm.training import FinetuneRecipe
from tests.training.processes.conftest import losses_of

SETTINGS: dict[str, Any] = {
    "n_steps": 4, "tokens_per_batch": 256, "batches_per_step": 2, "n_warmup": 2, "validate_every": 2,
    "log_every": 1, "n_resamples": 20, "n_members": 2, "learning_rate": 1e-3,
}  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    letters = "ACDEFGHIKLMNPQRSTVWY"
    proteins = ["".join(letters[(i * i + i * j + j * j) % 20] for j in range(20 + i)) for i in range(40)]
    rows = [f"{protein},{protein.count('K') - protein.count('D')}" for protein in proteins]
    path.write_text("\n".join(["sequence,charge", *rows]))
    return path


def predictions_of(folder: Path) -> list[float]:
    with (folder / "predictions.csv").open(newline="") as file:
        return [float(row["prediction"]) for row in csv.DictReader(file)]


def run(table: Path, output: Path, **settings: Any) -> CompletedProcess[str]:
    """Run the command in two processes."""
    command = [
        sys.executable, "-m", "biofm.cli", "finetune", str(table), "--target", "charge",
        "--column", "sequence", "--output", str(output), "--devices", "2", "--dtype", "float32",
        *(f"--set={name}={value}" for name, value in settings.items()),
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_two_processes_fine_tune_the_members_that_one_does(table: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    recipe = FinetuneRecipe(method="lora", **SETTINGS)
    api.finetune(table, one, target="charge", column="sequence", recipe=recipe, dtype="float32")
    done = run(table, two, method="lora", strategy="fsdp", **SETTINGS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" better ") <= 1
    assert done.stderr.count("Trained 2 members from") == 1

    for member in ("seed-0", "seed-1"):
        losses, expected = (losses_of(folder / "members" / member) for folder in (two, one))
        assert losses.keys() == expected.keys()
        for step in losses:
            assert losses[step] == pytest.approx(expected[step], rel=2e-3), (member, step)
    assert predictions_of(two) == pytest.approx(predictions_of(one), abs=0.02)


@pytest.mark.slow
def test_what_is_wrong_with_the_table_is_said_once(table: Path, tmp_path: Path) -> None:
    table.write_text("\n".join(table.read_text().splitlines()[:3]))
    done = run(table, tmp_path / "run", method="full", batches_per_step=2)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"biofm: {table}: ")
