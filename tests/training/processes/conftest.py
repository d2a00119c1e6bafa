"""Runs of several real processes on this machine, which meet at a port of the loopback address."""

import csv
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import pytest
import torch
from torch import Tensor

from tests.forkserver import ForkServer

RECIPE = {
    "n_steps": 10, "tokens_per_batch": 128, "max_length": 64, "n_warmup": 2, "batches_per_step": 4,
    "log_every": 1, "checkpoint_every": 3, "validate_every": 4, "learning_rate": 0.02, "clip_norm": 0.5,
    "optimizer": "adamw",
}  # fmt: skip
NO_FAULT = (-1, "", "", 0)


@dataclass(frozen=True, slots=True)
class Ended:
    """Holds how the processes of a run ended, its folder, and their lines on standard error."""

    exit_codes: list[int]
    folder: Path
    said: list[str]


One = Callable[..., Path]


class Train(Protocol):
    def __call__(
        self,
        folder: Path,
        n: int = 1,
        *,
        fault: tuple[int, str, str, int] = NO_FAULT,
        variables: Callable[[int, int], dict[str, str]] = ...,
        data: Mapping[str, Any] = ...,
        **changes: Any,
    ) -> Ended: ...


def by_hand(rank: int, n: int) -> dict[str, str]:
    """Return the variables that tell a process its rank when a person starts all of them."""
    return {"LOCAL_RANK": str(rank)} if n > 1 else {}


@pytest.fixture(scope="session")
def train(fork_server: ForkServer) -> Train:
    """Train a small model in ``n`` new processes.

    ``fault`` holds the rank of the process that fails, how and at which moment it fails, and how many such
    moments it passes before; see ``small_run.fault_at``. ``data`` changes ``small_run.Data``.
    """

    def run(
        folder: Path,
        n: int = 1,
        *,
        fault: tuple[int, str, str, int] = NO_FAULT,
        variables: Callable[[int, int], dict[str, str]] = by_hand,
        data: Mapping[str, Any] = MappingProxyType({}),
        **changes: Any,
    ) -> Ended:
        folder.mkdir(exist_ok=True)
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())} if n > 1 else {}
        recipe = RECIPE | ({"devices": n} if variables is by_hand else {}) | changes
        failing, how, moment, number = fault
        faults = [(moment, number, how) if rank == failing else None for rank in range(n)]
        ended = fork_server.run(
            "tests.training.processes.small_run:run",
            *((folder, recipe, dict(data), its_fault) for its_fault in faults),
            folder=folder,
            variables=[meeting | variables(rank, n) for rank in range(n)],
        )
        return Ended(ended.exit_codes, folder, ended.err.splitlines())

    return run


@pytest.fixture(scope="session")
def one(train: Train, tmp_path_factory: pytest.TempPathFactory) -> One:
    """Return the folder of a run in one process, by a recipe with these changes."""

    @cache
    def run(**changes: Any) -> Path:
        folder = tmp_path_factory.mktemp("one")
        assert train(folder, **changes).exit_codes == [0]
        return folder

    return run


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def losses_of(folder: Path) -> dict[str, list[float]]:
    """Return the loss of each step, and its validation loss if there is one."""
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["step"]: [float(row[name]) for name in ("tokens", "loss", "validation_loss") if row[name]]
        for row in rows
    }


def end_of(folder: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the final weights of a run, and its steps, its best step and whether it stopped early."""
    weights, said = torch.load(folder / "end.pt", weights_only=True)
    return dict(weights), said


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Return the final weights of a run."""
    weights, _ = end_of(folder)
    return weights


def examples_of(folder: Path) -> list[str]:
    """Return what all sessions and processes trained on, in order.

    There is a line for each batch with its step, its masked tokens and its judged rows.
    """
    lines = {line for file in folder.glob("seen-*.txt") for line in file.read_text().splitlines()}
    place = re.compile(r"Cursor\(stretch=(\d+), bin=(\d+)\)")

    def key(line: str) -> tuple[int, int, str]:
        found = place.match(line)
        assert found is not None
        return int(found[1]), int(found[2]), line

    return sorted(lines, key=key)


def check_same(folder: Path, whole: Path, *, tolerance: float = 2e-5) -> None:
    """Check that two runs have the same losses at every step and the same final weights."""
    losses, expected = losses_of(folder), losses_of(whole)
    assert losses.keys() == expected.keys()
    for step in losses:
        assert losses[step] == pytest.approx(expected[step], abs=tolerance), step
    weights, expected_weights = weights_of(folder), weights_of(whole)
    assert weights.keys() == expected_weights.keys()
    for name, weight in weights.items():
        assert torch.allclose(weight, expected_weights[name], rtol=0, atol=5 * tolerance), name
