"""Processes that are ended at any moment, and go on: nothing lost, nothing doubled, the same bytes."""

import os
import random
import re
import signal
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest


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
    """Kills runs of one command until they are done, and compares what they leave."""

    def __init__(self, forked: Any, read_table: Any, model: Path) -> None:
        self.forked = forked
        self.read_table = read_table
        self.words = ("embed", "in.fasta", "--model", model, *OPTIONS)
        self.n_kills = 0

    def kill_until_done(self, output: str, *words: str, left: str | None = None) -> None:
        """``left`` is the name of what the run leaves, where it is not ``output``."""
        self.n_kills += self.forked.kill_until_done(left or output, *self.words, "-o", output, *words)

    def check_same(self, output: str, other: str, tolerance: float = 0.0) -> None:
        one, two = (self.read_table(self.forked.folder / name) for name in (output, other))
        assert one.ids == two.ids
        assert one.provenance == two.provenance
        if tolerance:
            np.testing.assert_allclose(one.values, two.values, rtol=0, atol=tolerance)
        else:
            assert one.values.tobytes() == two.values.tobytes()


@pytest.fixture
def killer(forked: Any, read_table: Any, tiny_esm2: Path) -> Killer:
    return Killer(forked, read_table, tiny_esm2)


pytestmark = pytest.mark.filterwarnings("ignore:Observation names are not unique")


@pytest.mark.parametrize(
    ("formats", "n_kills"), [(list(FORMATS)[:3], 12), pytest.param(list(FORMATS), 45, marks=pytest.mark.slow)]
)
def test_a_run_killed_again_and_again_gives_the_same_bytes(
    formats: list[str], n_kills: int, forked: Any, killer: Killer
) -> None:
    write_proteins(forked.folder / "in.fasta", 150)
    for output in formats:
        forked.check(*killer.words, "-o", f"whole-{output}", *FORMATS[output])
    for output in cycle(formats):
        killer.kill_until_done(output, *FORMATS[output])
        killer.check_same(output, f"whole-{output}")
        if killer.n_kills >= n_kills:
            break
        for path in forked.folder.glob(f"{output}*"):
            path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize("output", ["a.npz", "c.parquet"])
def test_shards_killed_again_and_again_make_the_table_of_an_undivided_run(
    output: str, forked: Any, killer: Killer
) -> None:
    write_proteins(forked.folder / "in.fasta", 600)
    forked.check(*killer.words, "-o", f"whole-{output}", *FORMATS[output])
    shards = [f"{output}.shard-{index}-of-3" for index in (1, 2, 3)]
    for index, shard in enumerate(shards, start=1):
        killer.kill_until_done(output, *FORMATS[output], "--shard", f"{index}/3", left=shard)

    forked.check("merge", *reversed(shards), "-o", output)

    killer.check_same(output, f"whole-{output}", tolerance=1e-5)
    assert killer.n_kills >= 3


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_run_says_how_to_go_on(number: int, status: int, forked: Any, killer: Killer) -> None:
    write_proteins(forked.folder / "in.fasta", 150)
    forked.check(*killer.words, "-o", "whole.npz")
    command = (*killer.words, "-o", "out.npz")
    sent = forked.signal("out.npz", 6, 0.0, number)

    assert forked.run(*command, sent=sent) == status

    assert re.fullmatch(
        r"biofm: interrupted. \d+ records done and kept: repeat the command with --resume to continue\n",
        forked.err,
    )
    assert sorted(path.name for path in forked.folder.glob("*out*")) == [".out.npz.run"]
    assert forked.run(*command) == 1
    assert "there is an unfinished run here (" in forked.err
    forked.check(*command, "--resume")
    killer.check_same("out.npz", "whole.npz")


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_run_stopped_before_its_first_chunk_leaves_nothing_to_speak_of(
    number: int, status: int, forked: Any, killer: Killer
) -> None:
    (forked.folder / "in.fasta").write_text(">a\nMKT\n")
    os.mkfifo(forked.folder / "pipe.fasta")
    endless = os.open(forked.folder / "pipe.fasta", os.O_RDWR)  # a writer, so that the reader waits
    words = ("embed", "pipe.fasta", *killer.words[2:], "-o", "out.npz")
    sent = forked.signal("out.npz", 2, 0.0, number)

    assert forked.run(*words, sent=sent) == status

    assert forked.err == ("" if number == signal.SIGKILL else "biofm: interrupted\n")
    left = [path.name for path in forked.folder.glob("*out*")]
    assert "out.npz" not in left
    assert left == [] or number == signal.SIGKILL
    forked.check(*killer.words, "-o", "out.npz")
    assert [path.name for path in forked.folder.glob("*out*")] == ["out.npz"]
    os.close(endless)
