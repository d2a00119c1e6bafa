"""A run that is killed and resumed by another number of processes equals the uninterrupted one."""

from pathlib import Path
from typing import Any

import pytest

from biofm.training.folder import newest_step
from tests.training.processes.conftest import One, Train, check_same, examples_of

# Each session: the number of processes, their strategy, and the batch at which the last process is killed.
DDP = [(1, "auto", 18), (2, "ddp", 7), (4, "ddp", 3), (1, "auto", None)]
FSDP = [(2, "fsdp", 9), (4, "fsdp", 4), (1, "fsdp", 9), (2, "fsdp", None)]
MIXED = [(2, "ddp", 9), (4, "fsdp", 4), (1, "auto", 14), (2, "fsdp", None)]


@pytest.mark.slow
@pytest.mark.parametrize("sessions", [DDP, FSDP, MIXED], ids=["ddp", "fsdp", "one to the other"])
def test_examples_and_losses_are_those_of_a_run_that_was_not_interrupted(
    sessions: list[Any], one: One, train: Train, tmp_path: Path
) -> None:
    begun = [0]
    for n, strategy, last in sessions:
        fault = (-1, "", "", 0) if last is None else (n - 1, "SIGKILL", "training", last)
        ended = train(tmp_path, n, n_steps=14, strategy=strategy, fault=fault)
        assert ended.exit_codes == ([0] * n if last is None else [1] * (n - 1) + [-9])
        begun.append(newest_step(tmp_path / "checkpoints") or 0)
    assert begun == sorted(set(begun)), "every session got further"
    assert examples_of(tmp_path) == examples_of(one(n_steps=14))
    check_same(tmp_path, one(n_steps=14))
