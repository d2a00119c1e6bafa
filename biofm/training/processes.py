"""Which of the processes of a run this one is, told from the environment as Lightning tells it.

Every process runs the same verb. torchrun and SLURM start all of them; without these, the first one starts
the others of its machine (``launch``), with the same command and ``LOCAL_RANK`` in their environment.
"""

import os
from collections.abc import Mapping
from typing import Literal, NamedTuple

from biofm.core.configuration import option_of
from biofm.core.errors import OptionError
from biofm.training.recipe import Recipe

INTERACTIVE_JOBS = ("bash", "interactive")  # jobs of SLURM in which a person starts processes, not SLURM

Launcher = Literal["torchrun", "SLURM", "ourselves"]


class Processes(NamedTuple):
    """``rank`` of ``world_size`` processes, ``n_local`` on each machine; 0 prepares, judges, writes and
    prints.
    """

    rank: int
    world_size: int
    n_local: int = 1
    launcher: Launcher = "ourselves"

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    @property
    def n_nodes(self) -> int:
        return self.world_size // self.n_local


def find_processes(recipe: Recipe, environment: Mapping[str, str] = os.environ) -> Processes:
    """This process among those that the recipe asks for, or among those that torchrun or SLURM started.

    Raises OptionError where the recipe asks for other numbers than these started.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return _agreed(recipe, _of_torchrun(environment))
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in INTERACTIVE_JOBS:
        return _agreed(recipe, _of_slurm(environment))
    node = int(environment.get("NODE_RANK", environment.get("GROUP_RANK", 0)))
    rank = node * recipe.devices + int(environment.get("LOCAL_RANK", 0))
    world_size = recipe.devices * recipe.n_nodes
    if rank >= world_size:
        what = f"this is process {rank} of its launcher, but {world_size} are asked for"
        raise OptionError(what, where="--devices", remedy="Give the number that was started")
    return Processes(rank, world_size, recipe.devices)


def is_main_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the first of its run, or the only one."""
    if "TORCHELASTIC_RUN_ID" in environment:
        return environment["RANK"] == "0"
    names: tuple[str, ...] = ("NODE_RANK", "LOCAL_RANK")
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in INTERACTIVE_JOBS:
        names = ("SLURM_PROCID",)
    return all(environment.get(name, "0") == "0" for name in names)


def batches_of_process(recipe: Recipe, processes: Processes) -> int:
    """Batches of a step that each process makes. Raises OptionError where they cannot be shared out."""
    n_batches, rest = divmod(recipe.batches_per_step, processes.world_size)
    if rest:
        raise OptionError(
            f"{processes.world_size} processes cannot share the {recipe.batches_per_step} batches of a step",
            where=option_of(type(recipe), "batches_per_step"),
            remedy=f"Give a multiple of {processes.world_size}",
        )
    return n_batches


def _of_torchrun(environment: Mapping[str, str]) -> Processes:
    rank, world_size, n_local = (int(environment[key]) for key in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return Processes(rank, world_size, n_local, "torchrun")


def _of_slurm(environment: Mapping[str, str]) -> Processes:
    world_size = int(environment["SLURM_NTASKS"])
    if world_size > 1 and "SLURM_NTASKS_PER_NODE" not in environment:
        what = f"SLURM started {world_size} processes without saying how many on each machine"
        raise OptionError(what, where="srun", remedy="Give --ntasks-per-node, not --ntasks")
    n_local = int(environment.get("SLURM_NTASKS_PER_NODE", 1))
    return Processes(int(environment["SLURM_PROCID"]), world_size, n_local, "SLURM")


def _agreed(recipe: Recipe, found: Processes) -> Processes:
    """One device on one machine, the default, asks for nothing."""
    asked, there = (recipe.devices, recipe.n_nodes), (found.n_local, found.n_nodes)
    if asked not in ((1, 1), there):
        raise OptionError(
            f"{found.launcher} started {there[0]} processes on each of {there[1]} machines, "
            f"but {asked[0]} on each of {asked[1]} are asked for",
            where="--devices",
            remedy=f"Give --devices {there[0]} --set n_nodes={there[1]}",
        )
    return found
