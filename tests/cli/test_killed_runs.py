"""Processes that are ended at any moment, and go on: nothing lost, nothing doubled, the same bytes."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

# Forks a child for each line of words, so that a run costs a fork and not the seconds of importing torch. It
# signals the child some milliseconds after its journal has changed so many times, if it still runs then. A
# child's number stays its own until it is waited for.
ZYGOTE = """
import json, os, signal, sys
import anndata, pyarrow.csv, pyarrow.parquet, torch._dynamo, Bio.SeqIO.FastaIO  # slow, and needed by runs
from biofm import api
from biofm.cli import main

def has_ended(seconds):
    return signal.sigtimedwait([signal.SIGCHLD], seconds) is not None

def kill(child, journal, n_changes, seconds, number):
    seen = None
    while n_changes >= 0:
        if has_ended(0.001):
            return
        now = os.stat(journal).st_mtime_ns if os.path.exists(journal) else None
        n_changes -= now != seen
        seen = now
    if not has_ended(seconds):
        os.kill(child, number)
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


class Moment(NamedTuple):
    """When to send a run which signal: so long after so many changes of its journal."""

    journal: Path
    n_changes: int
    seconds: float
    number: int = signal.SIGKILL


class Zygote:
    """Runs ``biofm`` in processes of its own, whole or until they are killed."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self.folder = folder

    def run(self, *words: str | Path, moment: "Moment | None" = None) -> int:
        """The exit status, which is -9 of a run that was killed."""
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


FORMATS = {
    "a.npz": (),
    "b.h5ad": ("--window", "15"),
    "c.parquet": ("--pool", "none"),
    "d.csv": ("--pool", "max"),
    "e.safetensors": ("--pool", "none", "--window", "15"),
}


class Killer:
    """Runs one command uninterrupted, and once more, killed again and again until it is done."""

    def __init__(self, zygote: Zygote, read_table: Any, model: Path) -> None:
        self.zygote = zygote
        self.read_table = read_table
        self.words = ("embed", "in.fasta", "--model", model, *OPTIONS)
        self.generator = random.Random(time.time_ns())  # other moments every time
        self.n_kills = 0

    def kill_until_done(self, output: str, *words: str, named: str | None = None) -> None:
        """``named`` is what the run leaves, where it is not ``output``."""
        named = named or output
        journal = self.zygote.folder / f".{named}.run" / "journal.sqlite3"
        going_on: tuple[str, ...] = ()
        while True:
            moment = Moment(journal, self.generator.randint(0, 6), self.generator.uniform(0, 0.02))
            status = self.zygote.run(*self.words, "-o", output, *words, *going_on, moment=moment)
            if status == 0:
                break
            assert status == -signal.SIGKILL, self.zygote.err
            self.n_kills += 1
            going_on = ("--resume",)
            if (self.zygote.folder / named).exists():  # killed between its last two breaths
                going_on = ("--resume", "--overwrite")
        hidden = [path.name for path in self.zygote.folder.glob(f".{named}*")]
        assert hidden == [], "something was left behind"

    def check_same(self, output: str, other: str, tolerance: float = 0.0) -> None:
        one, two = (self.read_table(self.zygote.folder / name) for name in (output, other))
        assert one.ids == two.ids
        assert one.provenance == two.provenance
        if tolerance:
            np.testing.assert_allclose(one.values, two.values, rtol=0, atol=tolerance)
        else:
            assert one.values.tobytes() == two.values.tobytes()


@pytest.fixture
def killer(zygote: Zygote, read_table: Any, tiny_esm2: Path) -> Killer:
    return Killer(zygote, read_table, tiny_esm2)


pytestmark = pytest.mark.filterwarnings("ignore:Observation names are not unique")


@pytest.mark.parametrize(
    ("formats", "n_kills"), [(list(FORMATS)[:3], 12), pytest.param(list(FORMATS), 45, marks=pytest.mark.slow)]
)
def test_a_run_killed_again_and_again_gives_the_same_bytes(
    formats: list[str], n_kills: int, zygote: Zygote, killer: Killer
) -> None:
    write_proteins(zygote.folder / "in.fasta", 150)
    for output in formats:
        zygote.check(*killer.words, "-o", f"whole-{output}", *FORMATS[output])
    for output in cycle(formats):
        killer.kill_until_done(output, *FORMATS[output])
        killer.check_same(output, f"whole-{output}")
        if killer.n_kills >= n_kills:
            break
        for path in zygote.folder.glob(f"{output}*"):
            path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("output", ["a.npz", "c.parquet"])
def test_shards_killed_again_and_again_make_the_table_of_an_undivided_run(
    output: str, zygote: Zygote, killer: Killer
) -> None:
    write_proteins(zygote.folder / "in.fasta", 600)
    zygote.check(*killer.words, "-o", f"whole-{output}", *FORMATS[output])
    shards = [f"{output}.shard-{index}-of-3" for index in (1, 2, 3)]
    for index, shard in enumerate(shards, start=1):
        killer.kill_until_done(output, *FORMATS[output], "--shard", f"{index}/3", named=shard)

    zygote.check("merge", *reversed(shards), "-o", output)

    killer.check_same(output, f"whole-{output}", tolerance=1e-5)
    assert killer.n_kills >= 3


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_says_how_to_go_on(
    number: int, status: int, zygote: Zygote, killer: Killer
) -> None:
    write_proteins(zygote.folder / "in.fasta", 150)
    zygote.check(*killer.words, "-o", "whole.npz")
    command = (*killer.words, "-o", "out.npz")
    moment = Moment(zygote.folder / ".out.npz.run" / "journal.sqlite3", 5, 0.0, number)

    assert zygote.run(*command, moment=moment) == status

    assert re.fullmatch(
        r"biofm: interrupted. \d+ records are done and kept: repeat the command with --resume to go on\n",
        zygote.err,
    )
    assert sorted(path.name for path in zygote.folder.glob("*out*")) == [".out.npz.run"]
    assert zygote.run(*command) == 1
    assert "an unfinished run lies here (" in zygote.err
    zygote.check(*command, "--resume")
    killer.check_same("out.npz", "whole.npz")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_run_stopped_before_its_first_chunk_leaves_nothing_to_speak_of(
    number: int, status: int, zygote: Zygote, killer: Killer
) -> None:
    (zygote.folder / "in.fasta").write_text(">a\nMKT\n")
    os.mkfifo(zygote.folder / "pipe.fasta")
    endless = os.open(zygote.folder / "pipe.fasta", os.O_RDWR)  # a writer, so that the reader waits
    words = ("embed", "pipe.fasta", *killer.words[2:], "-o", "out.npz")
    moment = Moment(zygote.folder / ".out.npz.run" / "journal.sqlite3", 1, 0.0, number)

    assert zygote.run(*words, moment=moment) == status

    assert zygote.err == ""
    left = [path.name for path in zygote.folder.glob("*out*")]
    assert "out.npz" not in left
    assert left == [] or number == signal.SIGKILL
    zygote.check(*killer.words, "-o", "out.npz")
    assert [path.name for path in zygote.folder.glob("*out*")] == ["out.npz"]
    os.close(endless)
