"""Which of the processes of a run this one is, told from the environment as Lightning tells it.

Every process runs the same verb. torchrun and SLURM start all of them; without these, Lightning's trainer
in the first process starts the others, with the same command and these variables.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from biofm.core.configuration import option_of
from biofm.core.errors import OptionError
from biofm.training.recipe import Recipe

INTERACTIVE_JOBS = ("bash", "interactive")  # jobs of SLURM in which a person starts processes, not SLURM

SECONDS_BETWEEN_LOOKS = 0.2


class Processes(NamedTuple):
    """``rank`` of ``world_size`` processes; 0 prepares, judges, writes and prints."""

    rank: int
    world_size: int

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def await_file(path: Path) -> None:
    """Wait until the first process has written a file. Whoever started the processes ends all of them where
    one fails.
    """
    while not path.exists():
        time.sleep(SECONDS_BETWEEN_LOOKS)


def find_processes(recipe: Recipe, environment: Mapping[str, str] = os.environ) -> Processes:
    """This process among those that the recipe asks for."""
    world_size = recipe.devices * recipe.n_nodes
    if "TORCHELASTIC_RUN_ID" in environment:
        return Processes(int(environment["RANK"]), int(environment["WORLD_SIZE"]))
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in INTERACTIVE_JOBS:
        return Processes(int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"]))
    node = int(environment.get("NODE_RANK", environment.get("GROUP_RANK", 0)))
    return Processes(node * recipe.devices + int(environment.get("LOCAL_RANK", 0)), world_size)


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
