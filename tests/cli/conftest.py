"""The command line, run in this process or in ones that are killed, and a tiny ESM-2 for it."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from biofm.cli import main
from biofm.core.signals import ending_signals
from biofm.modalities import ProteinTokenizer
from biofm.models import Checkpoint, esm2, write_checkpoint
from biofm.nn import MaskedLM, initialise
from tests.embeddings import Table, read_embeddings
from tests.forkserver import ForkServer, Signal


class Outcome(NamedTuple):
    """Holds what a command left: its exit status, standard output and standard error."""

    status: int | str | None
    out: str
    err: str

    def check_refusal(self, parts: Iterable[str]) -> None:
        """Check that the command failed, with one line, on standard error, that holds these parts."""
        assert (self.status, self.out) == (1, ""), self.err
        assert self.err.startswith("biofm: "), self.err
        assert self.err.count("\n") == 1, self.err
        for part in parts:
            assert part in self.err, self.err


class ForkedBiofm:
    """Runs ``biofm`` in processes of its own, whole or until a signal ends them.

    ``out`` and ``err`` are what the last one wrote on its standard streams.
    """

    def __init__(self, server: ForkServer, folder: Path) -> None:
        self._server = server
        self.folder = folder
        self.out = self.err = ""

    def run(self, *words: str | Path, sent: Signal | None = None) -> int:
        """Run a command to its end; return its exit status, which is -9 if it was killed."""
        ended = self._server.run("tests.heavy:run_biofm", words, folder=self.folder, sent=sent)
        self.out, self.err = ended.out, ended.err
        return ended.exit_codes[0]

    def check(self, *words: str | Path) -> None:
        """Run a command to its end, and check that it succeeds."""
        assert self.run(*words) == 0, self.err

    def signal(self, left: str, n_changes: int, seconds: float, number: int = signal.SIGKILL) -> Signal:
        """Return a signal that is sent ``seconds`` after so many changes of a journal."""
        return Signal(number, seconds, self.folder / f".{left}.run" / "journal.sqlite3", n_changes)

    def kill_until_done(self, left: str, *words: str | Path) -> int:
        """Kill a run that is to leave ``left``, each time at another moment, until one gets to its
        end; returns how many were killed.
        """
        generator = random.Random(time.time_ns())
        n_kills = 0
        while True:
            sent = self.signal(left, generator.randint(1, 7), generator.uniform(0, 0.02))
            status = self.run(*words, "--resume", sent=sent)
            if status == 0:
                break
            assert status == -signal.SIGKILL, self.err
            n_kills += 1
        assert [path.name for path in self.folder.glob(f".{left}*")] == [], "something was left behind"
        return n_kills


Biofm = Callable[..., Outcome]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def biofm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Biofm]:
    """Return a function that runs ``biofm`` with these words in an empty folder."""
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in ending_signals()}

    def run(*words: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["biofm", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as end:
            main()
        return Outcome(end.value.code, *capsys.readouterr())

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return a function that starts ``biofm`` with these words as a process, in an empty folder."""

    def start_with(*words: str, **options: Any) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
        return subprocess.Popen(
            [sys.executable, "-m", "biofm.cli", *words],
            cwd=tmp_path, env=environment, stderr=subprocess.PIPE, **options,
        )  # fmt: skip

    return start_with


@pytest.fixture
def forked(fork_server: ForkServer, tmp_path: Path) -> ForkedBiofm:
    """Runs ``biofm`` in processes of its own, in an empty folder."""
    return ForkedBiofm(fork_server, tmp_path)


@pytest.fixture(scope="session")
def tiny_esm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of ``transformers`` that holds a random ESM-2 of two layers."""
    folder = tmp_path_factory.mktemp("models") / "tiny-esm2"
    folder.mkdir()
    module = MaskedLM(esm2.config(d_model=24, n_layers=2, n_heads=2))
    initialise(module, seed=1)
    checkpoint = Checkpoint("ESM-2", module.eval(), ProteinTokenizer())
    for name, content in write_checkpoint(checkpoint).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def damaged(tmp_path: Path, tiny_esm2: Path) -> Callable[[str, torch.Tensor | None], Path]:
    """A copy of the tiny model with one tensor replaced, or removed."""
    from safetensors.torch import load_file, save_file

    def damage(name: str, tensor: torch.Tensor | None) -> Path:
        folder = tmp_path / "damaged"
        folder.mkdir()
        (folder / "config.json").write_bytes((tiny_esm2 / "config.json").read_bytes())
        state = load_file(tiny_esm2 / "model.safetensors")
        del state[name]
        save_file(state | ({name: tensor} if tensor is not None else {}), folder / "model.safetensors")
        return folder

    return damage


@pytest.fixture(scope="session")
def read_table() -> Callable[[Path], Table]:
    """Return what reads a file of embeddings with its format's usual reader."""
    return read_embeddings
