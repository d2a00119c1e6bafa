"""Which of the processes of a run this one is, read from the environment as Lightning reads it.

Every process runs the same verb. torchrun and SLURM start all of them; without these, the first one starts
the others of its machine (``launch``), with the same command and ``LOCAL_RANK`` in their environment.
"""

import os
import re
import sys
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch

from biofm.core.configuration import option_of
from biofm.core.errors import OptionError
from biofm.inference import Compute
from biofm.training.recipe import Recipe

PROCESSES_A_PROCESSOR, FEWEST_PROCESSES = 4, 8
INTERACTIVE_JOBS = ("bash", "interactive")  # jobs of SLURM in which a person starts processes, not SLURM

Launcher = Literal["torchrun", "SLURM", "ourselves"]


class Processes(NamedTuple):
    """This process has the number ``rank`` of ``world_size`` in the run, ``n_local`` of them on each machine.
    Process 0 prepares the data, judges the model, writes and prints.
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
    """The rank of this process among those that the recipe asks for, or that torchrun or SLURM started.

    Raises OptionError: the recipe asks for other numbers than were started, or for more processes than the
    processors of this machine can serve.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return _agreed(recipe, _of_torchrun(environment))
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in INTERACTIVE_JOBS:
        return _agreed(recipe, _of_slurm(environment))
    _check_processors(recipe)
    node = _number(environment, "NODE_RANK" if "NODE_RANK" in environment else "GROUP_RANK", 0)
    rank = node * recipe.devices + _number(environment, "LOCAL_RANK", 0)
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
    """How many batches of a step each process makes. Raises OptionError: they cannot be shared out evenly."""
    n_batches, rest = divmod(recipe.batches_per_step, processes.world_size)
    if rest:
        raise OptionError(
            f"{processes.world_size} processes cannot share the {recipe.batches_per_step} batches of a step",
            where=option_of(type(recipe), "batches_per_step"),
            remedy=f"Give a multiple of {processes.world_size}",
        )
    return n_batches


def check_devices(compute: Compute, processes: Processes) -> None:
    """Raise OptionError where this machine has fewer devices than processes that need one each."""
    kind = compute.device.type
    if kind == "cpu":
        return
    n_there = torch.cuda.device_count() if kind == "cuda" else 1
    if processes.n_local > n_there:
        what = f"{processes.n_local} processes need a device of {kind} each, and there are {n_there} here"
        raise OptionError(what, where="--devices", remedy=f"Give at most {n_there}, or --device cpu")


def _check_processors(recipe: Recipe) -> None:
    """Raise OptionError where more processes are asked for than the processors of this machine can serve."""
    n_processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    most = max(FEWEST_PROCESSES, PROCESSES_A_PROCESSOR * n_processors)
    n_workers = recipe.devices * recipe.n_workers
    for name, n in (("devices", recipe.devices), ("n_workers", n_workers)):
        if n > most:
            what = f"{n:,} processes are too many for the {n_processors} processors of this machine"
            where = option_of(type(recipe), name)
            raise OptionError(what, where=where, remedy=f"Give so many that they are at most {most}")


def _number(environment: Mapping[str, str], key: str, otherwise: int | None = None) -> int:
    """A number that a launcher left in the environment. Raises OptionError: it left none."""
    text = environment.get(key, "" if otherwise is None else str(otherwise))
    if not re.fullmatch("[0-9]{1,9}", text):
        what = f"the environment says {key}={text!r}, which is no number of a process"
        raise OptionError(what, where=key, remedy="Unset it, or start the run by torchrun or srun")
    return int(text)


def _of_torchrun(environment: Mapping[str, str]) -> Processes:
    keys = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    rank, world_size, n_local = (_number(environment, key) for key in keys)
    return Processes(rank, world_size, n_local, "torchrun")


def _of_slurm(environment: Mapping[str, str]) -> Processes:
    world_size = _number(environment, "SLURM_NTASKS")
    if world_size > 1 and "SLURM_NTASKS_PER_NODE" not in environment:
        what = f"SLURM started {world_size} processes without saying how many on each machine"
        raise OptionError(what, where="srun", remedy="Give --ntasks-per-node, not --ntasks")
    n_local = _number(environment, "SLURM_NTASKS_PER_NODE", 1)
    return Processes(_number(environment, "SLURM_PROCID"), world_size, n_local, "SLURM")


def _agreed(recipe: Recipe, found: Processes) -> Processes:
    """``found``, if the recipe asks for as many processes; one device on one machine, the default, asks for
    nothing. Raises OptionError: it asks for others.
    """
    asked, there = (recipe.devices, recipe.n_nodes), (found.n_local, found.n_nodes)
    if asked not in ((1, 1), there):
        raise OptionError(
            f"{found.launcher} started {there[0]} processes on each of {there[1]} machines, "
            f"but {asked[0]} on each of {asked[1]} are asked for",
            where="--devices",
            remedy=f"Give --devices {there[0]} --set n_nodes={there[1]}",
        )
    return found
