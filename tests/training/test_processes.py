"""Rank and number of processes are told from the environment as Lightning tells them."""

from collections.abc import Callable

import pytest
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from biofm.core.errors import OptionError
from biofm.training import PretrainRecipe
from biofm.training.processes import Processes, batches_of_process, find_processes

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
    "alone": ({}, LightningEnvironment, Processes(0, 8)),
    "started by Lightning": ({"LOCAL_RANK": "1"}, LightningEnvironment, Processes(1, 8)),
    "on the third machine": (
        {"LOCAL_RANK": "1", "NODE_RANK": "2"}, LightningEnvironment, Processes(5, 8)
    ),
    "torchrun": (TORCHRUN, TorchElasticEnvironment, Processes(5, 8)),
    "SLURM": (SLURM, SLURMEnvironment, Processes(5, 8)),
    "a shell within SLURM": (SLURM | {"SLURM_JOB_NAME": "bash"}, LightningEnvironment, Processes(0, 8)),
}  # fmt: skip


@pytest.mark.parametrize(("variables", "kind", "expected"), CASES.values(), ids=list(CASES))
def test_the_environment_tells_who_this_is_as_it_tells_lightning(
    variables: dict[str, str],
    kind: type[ClusterEnvironment],
    expected: Processes,
    make_recipe: MakeRecipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in {*TORCHRUN, *SLURM, "NODE_RANK"}:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    recipe = make_recipe(devices=2, n_nodes=4)
    assert find_processes(recipe) == expected
    assert expected.is_main == (expected.rank == 0)

    environment = kind()
    assert SLURMEnvironment.detect() == (kind is SLURMEnvironment)
    assert TorchElasticEnvironment.detect() == (kind is TorchElasticEnvironment)
    if kind is LightningEnvironment:  # of which the strategy tells the rest
        environment.set_world_size(8)
        environment.set_global_rank(environment.node_rank() * 2 + environment.local_rank())
    assert (environment.global_rank(), environment.world_size()) == expected


def test_batches_of_a_step_are_shared_out_evenly_or_not_at_all(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(batches_per_step=6)
    assert [batches_of_process(recipe, Processes(0, n)) for n in (1, 2, 3, 6)] == [6, 3, 2, 1]
    with pytest.raises(OptionError) as caught:
        batches_of_process(recipe, Processes(0, 4))
    assert str(caught.value) == (
        "--batches-per-step: 4 processes cannot share the 6 batches of a step. Give a multiple of 4"
    )
