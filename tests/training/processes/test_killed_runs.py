"""A run that is killed anywhere and resumed equals the uninterrupted one to the last bit."""

import signal
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from biofm.training.folder import newest_step
from biofm.training.log import read_log
from tests.training.processes.conftest import Train, end_of

RECIPE = {
    "n_steps": 11, "tokens_per_batch": 128, "max_length": 64, "n_warmup": 2, "batches_per_step": 3,
    "log_every": 4, "checkpoint_every": 3, "validate_every": 2, "learning_rate": 0.02, "clip_norm": 0.5,
}  # fmt: skip
MUON = {"optimizer": "muon", "ema_decay": 0.8}
# No step is better than the first validated one, so that the run ends after two more validations.
ADAMW = {"optimizer": "adamw", "schedule": "cosine", "patience": 2, "learning_rate": 0.999}
# The number says when a session dies. For "training" it is the batch, counted from where it resumed: within a
# step, at its beginning, at its end. For "validation" it is the batch, for the others the checkpoint.
MOMENTS = [("training", 10), ("validation", 1), ("half written", 0), ("named", 0), ("training", 8)]

DATA = {"n_repeats": (20,), "n_held_out": 3}

Run = Callable[..., int]


@pytest.fixture
def run(train: Train) -> Run:
    """Train in a new process, and return its exit status, which is -9 if it was killed."""

    def run_or_kill(folder: Path, changes: dict[str, Any], moment: str = "", number: int = 0) -> int:
        (status,) = train(
            folder, fault=(0, "SIGKILL", moment, number), data=DATA, **RECIPE | changes
        ).exit_codes
        return status

    return run_or_kill


def rows_of(folder: Path) -> list[str]:
    """Return the parts of each row of the log that do not depend on the machine, letter for letter."""
    return [line.rsplit(",", 3)[0] for line in (folder / "metrics.csv").read_text().splitlines()]


def check_same(folder: Path, whole: Path) -> None:
    (weights, summary), (expected, expected_summary) = end_of(folder), end_of(whole)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in weights)
    assert summary == expected_summary
    assert rows_of(folder) == rows_of(whole)


def test_killed_again_and_again_it_ends_as_the_uninterrupted_one(run: Run, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, MUON) == 0
    statuses = [run(killed, MUON | {"n_workers": i % 2}, *moment) for i, moment in enumerate(MOMENTS)]
    assert statuses == [-signal.SIGKILL] * 5
    assert run(killed, MUON) == 0
    check_same(killed, whole)
    assert not list((killed / "checkpoints").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [MUON, ADAMW], ids=["muon, averaged", "adamw, stopped early"])
def test_wherever_it_is_killed_it_ends_as_the_uninterrupted_one(
    changes: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    whole = tmp_path / "whole"
    assert run(whole, changes) == 0
    n_batches = 3 * int(end_of(whole)[1][0])
    moments = [
        *product(["training"], range(1, n_batches, 4)), *product(["validation"], range(3)),
        *product(["half written", "named"], range(3)),
    ]  # fmt: skip
    for i, (moment, number) in enumerate(moments):
        killed = tmp_path / f"{moment} {number}"
        assert run(killed, changes | {"n_workers": i % 3}, moment, number) == -signal.SIGKILL
        assert run(killed, changes | {"n_workers": (i + 1) % 3}) == 0
        check_same(killed, whole)


def test_the_same_seed_gives_the_same_digits_and_another_does_not(run: Run, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "other")]
    for folder, seed in zip(folders, (3, 3, 4), strict=True):
        assert run(folder, MUON | {"seed": seed}) == 0
    check_same(folders[1], folders[0])
    assert rows_of(folders[2]) != rows_of(folders[0])


def test_a_run_that_stopped_early_keeps_its_best_step_and_is_not_trained_on(run: Run, tmp_path: Path) -> None:
    assert run(tmp_path, ADAMW) == 0
    weights, summary = end_of(tmp_path)
    losses = {
        int(row["step"]): row["validation_loss"]
        for row in read_log(tmp_path / "metrics.csv")
        if "validation_loss" in row
    }
    best_step = min(losses, key=lambda step: losses[step])
    n_steps = best_step + 2 * ADAMW["patience"]
    assert summary == [str(n_steps), str(best_step), "True"]
    assert newest_step(tmp_path / "checkpoints") == n_steps < RECIPE["n_steps"]

    assert run(tmp_path, ADAMW, "training", 0) == 0  # the fault would kill it if it trained
    again, summary_again = end_of(tmp_path)
    assert summary_again == summary
    assert all(torch.equal(weights[name], again[name]) for name in weights)
