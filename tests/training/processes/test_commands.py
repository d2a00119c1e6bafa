"""The command in several processes, started by itself or by torchrun, and killed from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from safetensors.torch import load_file

from biofm import api
from biofm.gate import ledger_path
from biofm.training import PretrainRecipe
from tests.conftest import StartProcess
from tests.ledgers import open_ledger
from tests.training.processes.conftest import losses_of

DEADLINE_S = 300  # a process that takes longer hangs, even on a busy machine
COMMAND = str(Path(__file__).with_name("command.py"))
LAUNCHERS = {
    "itself": [sys.executable, COMMAND],
    "torchrun": [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", COMMAND
    ],
}  # fmt: skip
RECIPE = PretrainRecipe(
    n_steps=8, tokens_per_batch=128, batches_per_step=4, max_length=64, n_warmup=2, n_held_out=4,
    checkpoint_every=2, log_every=1, optimizer="adamw", learning_rate=1e-3,
)  # fmt: skip
OPTIONS = [
    "--steps", "8", "--tokens-per-batch", "128", "--batches-per-step", "4", "--max-length", "64",
    "--warmup", "2", "--held-out", "4", "--checkpoint-every", "2", "--log-every", "1",
    "--set", "optimizer=adamw", "--learning-rate", "1e-3", "--dtype", "float32",
]  # fmt: skip

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def fasta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "proteins.fasta"
    letters = "ACDEFGHIKLMNPQRSTVWY"
    proteins = ["".join(letters[(i * i + i * j + j * j) % 20] for j in range(31 + i)) for i in range(40)]
    path.write_text("".join(f">p{i}\n{protein}\n" for i, protein in enumerate(proteins)))
    return path


@pytest.fixture(scope="module")
def whole(fasta: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the run in one process."""
    folder = tmp_path_factory.mktemp("whole")
    api.pretrain([fasta], folder, RECIPE, dtype="float32")
    return folder


@pytest.fixture
def start(fasta: Path, start_process: StartProcess) -> Start:
    """Start a pretraining into a folder in two processes."""

    def run(launcher: str, output: Path, *more: str, given: Path = fasta) -> subprocess.Popen[str]:
        command = [*LAUNCHERS[launcher], "pretrain", str(given), "--output", str(output), *OPTIONS, *more]
        command += ["--devices", "2"] if launcher == "itself" else []
        return start_process(*command, variables={"OMP_NUM_THREADS": "1"})

    return run


def wait_until(is_so: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    end = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def n_rows(folder: Path) -> int:
    file = folder / "metrics.csv"
    return len(file.read_text().splitlines()) - 1 if file.exists() else 0


def processes_of(folder: Path) -> dict[str, int]:
    """Find the processes that run the command into ``folder``: their ids by their ranks."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_text().split("\0")
            variables = (process / "environ").read_text().split("\0")
        except OSError:  # the process ended meanwhile, or belongs to another user
            continue
        if str(folder) in command and "torch.distributed.run" not in command:
            rank = next((it.removeprefix("LOCAL_RANK=") for it in variables if it[:11] == "LOCAL_RANK="), "0")
            found[rank] = int(process.name)
    return found


def passed_the_gate(folder: Path) -> list[str]:
    """Return the roles in which processes wrote into a folder to the end, by the ledger."""
    with closing(open_ledger(ledger_path())) as ledger:
        query = "SELECT writes FROM requests JOIN outcomes ON request = id WHERE outcome = 'completed'"
        writes = [json.loads(text) for (text,) in ledger.execute(query)]
    return sorted(role for roles in writes for role, it in roles.items() if it["path"] == str(folder))


def said_by_biofm(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("biofm:")]


def check_losses(folder: Path, whole: Path) -> None:
    losses, expected = losses_of(folder), losses_of(whole)
    assert losses.keys() == expected.keys()
    for step in losses:
        assert losses[step] == pytest.approx(expected[step], abs=2e-5), step


@pytest.mark.parametrize(("launcher", "strategy"), [("itself", "fsdp"), ("torchrun", "ddp")])
def test_the_command_leaves_the_model_of_one_process_and_speaks_with_one_voice(
    launcher: str, strategy: str, start: Start, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(launcher, folder, "--set", f"strategy={strategy}")
    output, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, errors
    assert output.count("held-out perplexity") == 1
    assert errors.count(" parameters to ") == 1
    assert "left behind" not in errors
    check_losses(folder, whole)
    model, expected = (load_file(it / "model" / "model.safetensors") for it in (folder, whole))
    assert model.keys() == expected.keys()
    assert all((model[name] - expected[name]).abs().max() < 1e-4 for name in model)
    assert {path.name for path in folder.iterdir()} == {path.name for path in whole.iterdir()}
    assert passed_the_gate(folder) == ["joined run", "run"]


@pytest.mark.parametrize(
    ("launcher", "rank", "strategy"),
    [("itself", "0", "ddp"), ("itself", "1", "fsdp"), ("torchrun", "1", "fsdp")],
)
def test_a_killed_process_ends_the_command_which_resumes(
    launcher: str, rank: str, strategy: str, start: Start, whole: Path, fasta: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    process = start(launcher, folder, "--set", f"strategy={strategy}")
    wait_until(lambda: n_rows(folder) >= 3, process)
    os.kill(processes_of(folder)[rank], signal.SIGKILL)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == (-9 if launcher == "itself" and rank == "0" else 1)
    (line,) = said_by_biofm(errors)
    assert line.startswith("biofm: the run ended, because ")
    assert "Repeat the command with --resume to continue from step " in line
    if launcher == "itself" and rank == "1":
        assert "process 1 of this machine was killed by SIGKILL" in line
    wait_until(lambda: not processes_of(folder))

    api.pretrain([fasta], folder, RECIPE, dtype="float32", resume=True)
    check_losses(folder, whole)


def test_a_signal_to_the_command_ends_it_behind_a_step(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start("itself", folder)
    wait_until(lambda: n_rows(folder) >= 2, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 143
    interrupted = f"interrupted. Repeat the command with --resume to continue from the state in {folder}"
    assert said_by_biofm(errors) == [f"biofm: {interrupted}"]
    assert "left behind" not in errors
    (checkpoint,) = (folder / "checkpoints").iterdir()
    assert checkpoint.name == f"step-{n_rows(folder):09}.ckpt"
    wait_until(lambda: not processes_of(folder))


def test_what_is_wrong_with_the_data_is_said_once(start: Start, tmp_path: Path) -> None:
    bad = tmp_path / "bad.fasta"
    bad.write_text(">bad\nMK1\n")
    process = start("itself", tmp_path / "run", given=bad)
    _, errors = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 1
    assert [line for line in errors.splitlines() if "position 3 holds '1'" in line] == errors.splitlines()
