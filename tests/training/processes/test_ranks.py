"""A process finds its rank in the environment, in the same way as Lightning."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only

from biofm.api.configuration import read_configuration
from biofm.core import OptionError
from biofm.inference import Compute
from biofm.training import PretrainRecipe
from biofm.training.processes import (
    Processes,
    SilentExit,
    batches_of_process,
    check_devices,
    find_processes,
    is_main_process,
)

MakeRecipe = Callable[..., PretrainRecipe]

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "GROUP_RANK": "2",
    "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "host", "MASTER_PORT": "1",
}  # fmt: skip
SLURM = {
    "SLURM_NTASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "2",
    "SLURM_JOB_NAME": "train", "SLURM_NTASKS_PER_NODE": "2",
}  # fmt: skip
CASES: dict[str, tuple[dict[str, str], type[ClusterEnvironment], Processes]] = {
    "alone": ({}, LightningEnvironment, Processes(0, 8, 2)),
    "started by the first": ({"LOCAL_RANK": "1"}, LightningEnvironment, Processes(1, 8, 2)),
    "on the third machine": (
        {"LOCAL_RANK": "1", "NODE_RANK": "2"}, LightningEnvironment, Processes(5, 8, 2)
    ),
    "torchrun": (TORCHRUN, TorchElasticEnvironment, Processes(5, 8, 2, "torchrun")),
    "torchrun in SLURM": (SLURM | TORCHRUN, TorchElasticEnvironment, Processes(5, 8, 2, "torchrun")),
    "SLURM": (SLURM, SLURMEnvironment, Processes(5, 8, 2, "SLURM")),
    "a shell within SLURM": (
        SLURM | {"SLURM_JOB_NAME": "bash"}, LightningEnvironment, Processes(0, 8, 2)
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the variables, and the rank that an environment of Lightning sets for logging."""
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    for name in {*TORCHRUN, *SLURM, "NODE_RANK"}:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("variables", "kind", "expected"), CASES.values(), ids=list(CASES))
def test_the_environment_tells_who_this_is_as_it_tells_lightning(
    variables: dict[str, str],
    kind: type[ClusterEnvironment],
    expected: Processes,
    make_recipe: MakeRecipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_processes(make_recipe(devices=2, n_nodes=4)) == expected
    assert is_main_process() == expected.is_main == (expected.rank == 0)
    assert expected.n_nodes == 4

    environment = kind()
    assert TorchElasticEnvironment.detect() == (kind is TorchElasticEnvironment)
    if kind is not TorchElasticEnvironment:  # which goes before SLURM
        assert SLURMEnvironment.detect() == (kind is SLURMEnvironment)
    if kind is LightningEnvironment:  # of which the strategy tells the rest
        environment.set_world_size(8)
        environment.set_global_rank(environment.node_rank() * 2 + environment.local_rank())
    assert (environment.global_rank(), environment.world_size()) == expected[:2]


@pytest.mark.parametrize("variables", [TORCHRUN, SLURM], ids=["torchrun", "SLURM"])
def test_who_starts_the_processes_says_how_many_they_are(
    variables: dict[str, str], make_recipe: MakeRecipe
) -> None:
    assert find_processes(make_recipe(), variables)[:3] == (5, 8, 2)
    assert find_processes(make_recipe(), {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"})[:3] == (0, 1, 1)


@pytest.mark.parametrize(
    ("variables", "devices", "message"),
    [
        (
            TORCHRUN,
            4,
            "--devices: torchrun started 2 processes per machine on 4 machines, but the options ask for 4 "
            "per machine on 1 machine. Give --devices 2 --set n_nodes=4",
        ),
        (
            {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
            1,
            "srun: SLURM started 4 processes without saying how many on each machine. "
            "Give --ntasks-per-node, not --ntasks",
        ),
        (
            {"LOCAL_RANK": "2"},
            2,
            "--devices: this process has the rank 2, but the run has only 2 processes. "
            "Give the number of processes that were started",
        ),
    ],
)
def test_numbers_that_do_not_fit_are_refused(
    variables: dict[str, str], devices: int, message: str, make_recipe: MakeRecipe
) -> None:
    with pytest.raises(OptionError) as caught:
        find_processes(make_recipe(devices=devices), variables)
    assert str(caught.value) == message


def test_batches_of_a_step_are_shared_out_evenly_or_not_at_all(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(batches_per_step=6)
    assert [batches_of_process(recipe, Processes(0, n)) for n in (1, 2, 3, 6)] == [6, 3, 2, 1]
    with pytest.raises(OptionError) as caught:
        batches_of_process(recipe, Processes(0, 4))
    assert str(caught.value) == (
        "--batches-per-step: 4 processes cannot evenly share 6 batches of a step. Give a multiple of 4"
    )


@pytest.mark.parametrize(("kind", "n_there"), [("cuda", 1), ("mps", 1)])
def test_more_processes_than_devices_are_refused(
    kind: str, n_there: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: n_there)
    compute = Compute(torch.device(kind), torch.float32, "as the test asks")
    check_devices(compute, Processes(0, 1))
    check_devices(replace(compute, device=torch.device("cpu")), Processes(0, 8, 8))
    with pytest.raises(OptionError) as caught:
        check_devices(compute, Processes(0, 4, 2))
    assert str(caught.value) == (
        f"--devices: the run needs 2 {kind} devices on this machine, which has 1. "
        "Give at most 1, or --device cpu"
    )


def test_of_options_that_do_not_fit_the_first_process_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    for rank, kind in (("0", OptionError), ("1", SilentExit)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        with pytest.raises(kind):
            read_configuration("pretrain", PretrainRecipe, sets=["n_steps=-1"])
