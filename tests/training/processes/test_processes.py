"""A process tells from its environment which one it is, as Lightning does."""

from typing import Any

import pytest

from biofm.core.errors import OptionError
from biofm.training import PretrainRecipe, is_main_process
from biofm.training.processes import Processes, find_processes

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x", "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2",
}  # fmt: skip
SLURM = {
    "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "2", "SLURM_LOCALID": "0",
    "SLURM_JOB_NAME": "train",
}  # fmt: skip


def recipe(**changes: Any) -> PretrainRecipe:
    return PretrainRecipe(n_steps=1, **changes)


@pytest.mark.parametrize(
    ("environment", "changes", "expected"),
    [
        ({}, {}, Processes(0, 1)),
        ({}, {"devices": 2}, Processes(0, 2, 2)),
        ({"LOCAL_RANK": "1"}, {"devices": 2}, Processes(1, 2, 2)),
        ({"NODE_RANK": "1"}, {"devices": 2, "n_nodes": 2}, Processes(2, 4, 2)),
        (TORCHRUN, {}, Processes(3, 4, 2, "torchrun")),
        (TORCHRUN, {"devices": 2, "n_nodes": 2}, Processes(3, 4, 2, "torchrun")),
        (TORCHRUN | SLURM, {}, Processes(3, 4, 2, "torchrun")),  # which a job of SLURM may start
        (SLURM, {}, Processes(2, 4, 2, "SLURM")),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, {}, Processes(0, 1, 1, "SLURM")),
        (SLURM | {"SLURM_JOB_NAME": "bash"}, {}, Processes(0, 1)),  # a person in it
    ],
)
def test_the_place_of_a_process_is_read_from_its_environment(
    environment: dict[str, str], changes: dict[str, int], expected: Processes
) -> None:
    found = find_processes(recipe(**changes), environment)
    assert found == expected
    assert is_main_process(environment) == found.is_main == (found.rank == 0)


@pytest.mark.parametrize(
    ("environment", "changes", "message"),
    [
        (
            TORCHRUN,
            {"devices": 4},
            "--devices: torchrun started 2 processes on each of 2 machines, but 4 on each of 1 are asked "
            "for. Give --devices 2 --set n_nodes=2, or leave both out",
        ),
        (
            {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
            {},
            "srun: SLURM started 4 processes without saying how many on each machine. "
            "Give --ntasks-per-node, not --ntasks",
        ),
        (
            {"LOCAL_RANK": "2"},
            {"devices": 2},
            "--devices: this is process 2 of its launcher, but 2 are asked for. "
            "Give the number that was started",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    environment: dict[str, str], changes: dict[str, int], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        find_processes(recipe(**changes), environment)
    assert str(caught.value) == message
