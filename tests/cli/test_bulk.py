"""Runs that are cut short at any moment and go on, runs in shards: nothing lost, nothing doubled, the same
bytes.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Forks a child for each line of words, so that a run costs a fork and not the seconds of importing torch. It
# kills the child some milliseconds after its journal has changed so many times, if it still runs then. A
# child's number stays its own until it is waited for.
ZYGOTE = """
import json, os, signal, sys
import anndata, pyarrow.csv, pyarrow.parquet, torch._dynamo, Bio.SeqIO.FastaIO  # slow, and needed by runs
from biofm import api
from biofm.cli import main

def has_ended(seconds):
    return signal.sigtimedwait([signal.SIGCHLD], seconds) is not None

def kill(child, journal, n_changes, seconds):
    seen = None
    while n_changes >= 0:
        if has_ended(0.001):
            return
        now = os.stat(journal).st_mtime_ns if os.path.exists(journal) else None
        n_changes -= now != seen
        seen = now
    if not has_ended(seconds):
        os.kill(child, signal.SIGKILL)
        has_ended(60)

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
for line in sys.stdin:
    folder, words, moment = json.loads(line)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for descriptor in (1, 2):
            os.dup2(os.open(f"said-{descriptor}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.argv = ["biofm", *words]
        try:
            main()
        except SystemExit as end:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code)
    if moment:
        kill(child, *moment)
    else:
        has_ended(600)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Zygote:
    """Runs ``biofm`` in processes of its own, whole or until they are killed."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self.folder = folder

    def run(self, *words: str | Path, moment: tuple[Path, int, float] | None = None) -> int:
        """The exit status; -9 of a run that was killed at a moment: so many changes of that file, and seconds
        later.
        """
        print(json.dumps([self.folder, words, moment], default=str), file=self._to, flush=True)
        return int(self._from.readline())

    @property
    def err(self) -> str:
        return (self.folder / "said-2").read_text()

    def check(self, *words: str | Path) -> None:
        """Run to the end."""
        assert self.run(*words) == 0, self.err


@pytest.fixture(scope="module")
def zygote_process() -> Iterator["subprocess.Popen[str]"]:
    one_thread = dict.fromkeys(["OMP_NUM_THREADS", "MKL_NUM_THREADS"], "1")
    environment = {**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ZYGOTE]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def zygote(zygote_process: "subprocess.Popen[str]", tmp_path: Path) -> Zygote:
    return Zygote(zygote_process, tmp_path)


def write_proteins(path: Path, n_records: int, seed: int = 20) -> Path:
    """FASTA in which ids and sequences repeat, near and far, and some records are at fault."""
    generator = random.Random(seed)
    sequences: list[str] = []
    with path.open("w") as file:
        for number in range(n_records):
            if not sequences or generator.random() < 0.7:
                sequences.append(
                    "".join(generator.choices("ACDEFGHIKLMNPQRSTVWYX", k=generator.randint(1, 40)))
                )
            sequence = "MK7" if number % 50 == 49 else generator.choice([sequences[-1], *sequences])
            file.write(f">p{number % 97}\n{sequence}\n")
    return path


OPTIONS = ("--tokens-per-batch", "24", "--on-error", "skip", "--dtype", "float32", "--quiet")


class Case:
    """One way to run, uninterrupted once, and then killed again and again until it is done."""

    def __init__(
        self, zygote: Zygote, read_table: Any, model: Path, output: str, words: tuple[str, ...]
    ) -> None:
        self.zygote = zygote
        self.read_table = read_table
        self.output = output
        self.words = ("embed", "in.fasta", "--model", str(model), *OPTIONS, *words)
        zygote.check(*self.words, "-o", f"whole-{output}")

    def kill_until_done(self, generator: random.Random) -> int:
        """Returns how many times it was killed."""
        n_kills = 0
        words: tuple[str, ...] = ()
        journal = self.zygote.folder / f".{self.output}.run" / "journal.sqlite3"
        while True:
            moment = (journal, generator.randint(0, 6), generator.uniform(0, 0.02))
            status = self.zygote.run(*self.words, "-o", self.output, *words, moment=moment)
            if status == 0:
                return n_kills
            assert status == -signal.SIGKILL, self.zygote.err
            n_kills += 1
            words = ("--resume",)
            if (self.zygote.folder / self.output).exists():  # killed between its last two breaths
                words = ("--resume", "--overwrite")

    def check_same(self) -> None:
        whole, parts = (
            self.read_table(self.zygote.folder / name) for name in (f"whole-{self.output}", self.output)
        )
        assert whole.ids == parts.ids
        assert whole.values.tobytes() == parts.values.tobytes()
        assert whole.provenance == parts.provenance
        hidden = [path.name for path in self.zygote.folder.glob(f".{self.output}*")]
        assert hidden == [], "something was left behind"


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_a_run_killed_again_and_again_gives_the_same_bytes(
    zygote: Zygote, read_table: Any, tiny_esm2: Path
) -> None:
    write_proteins(zygote.folder / "in.fasta", 150)
    generator = random.Random(time.time_ns())  # other moments every time
    n_kills = 0
    for output, words in [("a.npz", ()), ("b.h5ad", ("--window", "15")), ("c.parquet", ("--pool", "none"))]:
        case = Case(zygote, read_table, tiny_esm2, output, words)
        n_kills += case.kill_until_done(generator)
        case.check_same()
    print(n_kills)
    assert n_kills >= 3
