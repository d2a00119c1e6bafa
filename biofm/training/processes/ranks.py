"""Ranks: each process finds its number in the environment, in the same way as Lightning.

Every process runs the same verb. torchrun and SLURM start all of them; without these, the first process
starts the others of its machine (``launch``) with the same command and ``LOCAL_RANK`` in their environment.
"""

import os
import re
import sys
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from biofm_datasets.text import format_count

from biofm.core.configuration import option_of
from biofm.core.errors import OptionError
from biofm.inference import Compute
from biofm.training.recipe import Recipe

PROCESSES_A_PROCESSOR, FEWEST_PROCESSES = 4, 8
INTERACTIVE_JOBS = ("bash", "interactive")  # names of SLURM jobs in which a person starts the processes

Launcher = Literal["torchrun", "SLURM", "ourselves"]


class Processes(NamedTuple):
    """Says which process of the run this one is, and how many there are.

    Process 0 prepares the data, evaluates the model, writes and prints.

    Attributes:
        rank: The number of this process, counted from 0.
        world_size: Processes of the run.
        n_local: Processes on each machine.
        launcher: What starts the processes.
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
    """Find the rank of this process among those that the recipe asks for, or that torchrun or SLURM started.

    Args:
        recipe: Says how many processes the run has on how many machines.
        environment: The environment variables of this process.

    Raises:
        OptionError: The recipe asks for other numbers than were started, or for more processes than the
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
        n_processes = format_count(world_size, "process", "processes")
        what = f"this process has the rank {rank}, but the run has only {n_processes}"
        raise OptionError(what, where="--devices", remedy="Give the number of processes that were started")
    return Processes(rank, world_size, recipe.devices)


def is_main_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this process is the first of its run, or the only one.

    Args:
        environment: The environment variables of this process.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        return environment["RANK"] == "0"
    names: tuple[str, ...] = ("NODE_RANK", "LOCAL_RANK")
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in INTERACTIVE_JOBS:
        names = ("SLURM_PROCID",)
    return all(environment.get(name, "0") == "0" for name in names)


def batches_of_process(recipe: Recipe, processes: Processes) -> int:
    """Divide the batches of a step by the number of processes.

    Args:
        recipe: Says how many batches a step has.
        processes: The processes of the run.

    Raises:
        OptionError: The processes cannot share the batches evenly.
    """
    n_batches, rest = divmod(recipe.batches_per_step, processes.world_size)
    if rest:
        raise OptionError(
            f"{processes.world_size} processes cannot evenly share "
            f"{format_count(recipe.batches_per_step, 'batch', 'batches')} of a step",
            where=option_of(type(recipe), "batches_per_step"),
            remedy=f"Give a multiple of {processes.world_size}",
        )
    return n_batches


def check_devices(compute: Compute, processes: Processes) -> None:
    """Check that this machine has a device for each of its processes.

    Args:
        compute: The device and the number format of the run.
        processes: The processes of the run.

    Raises:
        OptionError: There are fewer devices than processes. On a CPU, they share it.
    """
    kind = compute.device.type
    if kind == "cpu":
        return
    n_there = torch.cuda.device_count() if kind == "cuda" else 1
    if processes.n_local > n_there:
        n_needed = format_count(processes.n_local, f"{kind} device")
        what = f"the run needs {n_needed} on this machine, which has {n_there}"
        raise OptionError(what, where="--devices", remedy=f"Give at most {n_there}, or --device cpu")


def _check_processors(recipe: Recipe) -> None:
    """Raise OptionError if the recipe asks for more processes than this machine's processors can serve."""
    n_processors = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    most = max(FEWEST_PROCESSES, PROCESSES_A_PROCESSOR * n_processors)
    n_workers = recipe.devices * recipe.n_workers
    for name, n in (("devices", recipe.devices), ("n_workers", n_workers)):
        if n > most:
            there = format_count(n_processors, "processor")
            what = f"{n:,} processes are too many for the {there} of this machine"
            where = option_of(type(recipe), name)
            raise OptionError(what, where=where, remedy=f"Give fewer: at most {most:,} in all")


def _number(environment: Mapping[str, str], key: str, otherwise: int | None = None) -> int:
    """Read a number that a launcher set in the environment, or raise OptionError without one."""
    text = environment.get(key, "" if otherwise is None else str(otherwise))
    if not re.fullmatch("[0-9]{1,9}", text):
        what = f"the environment variable {key} is {text!r}, which is no whole number of up to 9 digits"
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
    """Return ``found`` if the recipe asks for as many processes, else raise OptionError.

    One device on one machine, the default, agrees with any number.
    """
    asked, there = (recipe.devices, recipe.n_nodes), (found.n_local, found.n_nodes)
    if asked not in ((1, 1), there):
        raise OptionError(
            f"{found.launcher} started {format_count(there[0], 'process', 'processes')} per machine on "
            f"{format_count(there[1], 'machine')}, but the options ask for {asked[0]:,} per machine on "
            f"{format_count(asked[1], 'machine')}",
            where="--devices",
            remedy=f"Give --devices {there[0]} --set n_nodes={there[1]}",
        )
    return found
