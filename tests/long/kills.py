"""Jobs that are killed again and again, in loops of ``until ... --resume``: each loop ends, with the bytes of
a run that nobody disturbed, and nothing hidden is left.

Seven jobs are killed equally often: the one with the fewest kills is next. A session of one is a process of
the fork server; after a random time SIGKILL, SIGTERM or SIGINT comes, and the same command begins the next
session. 100 kills take some twenty minutes on two cores.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "datasets")]

from tests.forkserver import ForkServer, Signal, started  # noqa: E402

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
MOST_SESSIONS = 100  # of one loop: more is one that does not end
MOST_LOOPS = 50  # of one job: it ends before its signal comes
LETTERS = "ACDEFGHIKLMNPQRSTVWY"
Command = tuple[str, ...]


class Job(NamedTuple):
    """Commands one after the other, each repeated until it ends well; what is compared, and what goes on."""

    commands: tuple[Command, ...]
    results: tuple[str, ...]
    again: Command = ("--resume",)


SMALL = ("--tokens-per-batch", "2048", "--dtype", "float32", "--quiet")
EMBED = ("embed", "in.fasta", *SMALL, "-o", "out.npz")
JOBS = {
    "embed": Job((EMBED,), ("out.npz",)),
    "embed, shards": Job(
        (
            (*EMBED, "--shard", "1/2"),
            (*EMBED, "--shard", "2/2"),
            ("merge", "out.npz.shard-1-of-2", "out.npz.shard-2-of-2", "-o", "out.npz", "--quiet"),
        ),
        ("out.npz",),
    ),
    "score": Job(
        (("score", "--all-singles", "-w", "one.fasta", *SMALL, "-o", "out.csv"),),
        ("out.csv", "out.csv.provenance.json"),
    ),
    "perplexity": Job(
        (("perplexity", "in.fasta", "--method", "single-pass", *SMALL, "-o", "out.csv"),),
        ("out.csv", "out.csv.provenance.json"),
        ("--overwrite",),
    ),
    "data prepare": Job(
        (("data", "prepare", "in.fasta", "-o", "out", "--split", "random", "--test", "0.1", "--quiet"),),
        ("out",),
    ),
    "pretrain": Job(
        ((
            "pretrain", "in.fasta", "-o", "out", "--steps", "6", "--tokens-per-batch", "512", "--max-length",
            "128", "--warmup", "2", "--held-out", "8", "--checkpoint-every", "2", "--quiet",
        ),),
        ("out/model", "out/evaluation.json", "out/recipe.toml"),
    ),
    "finetune": Job(
        ((
            "finetune", "t.csv", "--column", "sequence", "--target", "y", "-o", "out", "--method", "full",
            "--steps", "4", "--tokens-per-batch", "512", "--set", "checkpoint_every=1", "--set", "n_warmup=1",
            "--set", "validate_every=2", "--set", "n_resamples=20", "--dtype", "float32", "--quiet",
        ),),
        ("out/predictor", "out/predictions.csv", "out/recipe.toml"),
    ),
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20)
    wanted = parser.parse_args()

    generator, kills = random.Random(wanted.seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name, started(Path(name)) as server:
        top = Path(name)
        os.environ["XDG_STATE_HOME"] = str(top / "state")
        wholes = {job: run_whole(server, top / f"whole {job}", JOBS[job]) for job in JOBS}
        loops = Counter[str]()
        faults: list[str] = []
        share = -(-wanted.kills // len(JOBS))
        while short := [one for one in JOBS if kills[one] < share and loops[one] < MOST_LOOPS]:
            job = min(short, key=lambda one: (kills[one], loops[one]))
            folder = top / f"killed {job}"
            write_inputs(folder)
            found = [
                *kill_until_done(server, folder, job, wholes[job], generator, kills),
                *differences(folder, top / f"whole {job}", job),
            ]
            loops[job] += 1
            print(f"{job}, loop {loops[job]}: {kills.total()} kills so far", *found, sep="\n  ", flush=True)
            faults += found
            shutil.rmtree(folder)
    for job in JOBS:
        print(f"{job}: {kills[job]} kills in {loops[job]} loops, {wholes[job]:.1f} s undisturbed")
    print(f"{kills.total()} kills, {loops.total()} loops, {len(faults)} faults")
    return 1 if faults else 0


def write_inputs(folder: Path) -> None:
    generator = random.Random(1)
    proteins = ["".join(generator.choices(LETTERS, k=generator.randint(20, 60))) for _ in range(300)]
    folder.mkdir()
    (folder / "in.fasta").write_text("".join(f">p{i}\n{one}\n" for i, one in enumerate(proteins)))
    (folder / "one.fasta").write_text(f">p\n{proteins[0]}\n")
    rows = (f"{one},{sum(letter in 'AFILMVW' for letter in one) / len(one)}\n" for one in proteins[:80])
    (folder / "t.csv").write_text("sequence,y\n" + "".join(rows))


def run_whole(server: ForkServer, folder: Path, job: Job) -> float:
    """The seconds that an undisturbed run takes."""
    write_inputs(folder)
    begin = time.monotonic()
    for command in job.commands:
        status, said = session(server, folder, command)
        assert status == 0, (command, said)
    return time.monotonic() - begin


def kill_until_done(
    server: ForkServer, folder: Path, name: str, seconds: float, generator: random.Random, kills: Counter[str]
) -> Iterator[str]:
    """Every command of a job until it ends well; yields what is wrong."""
    job = JOBS[name]
    for command in job.commands:
        again = ("--overwrite",) if command[0] == "merge" else job.again
        for number in range(MOST_SESSIONS):
            # Later ones longer: the machine may be slower now than it was undisturbed.
            longest_s = 1.2 * seconds / len(job.commands) * (1 + number / 10)
            after_s = generator.uniform(0, longest_s)
            sent = Signal(generator.choice(SIGNALS), after_s)
            status, said = session(server, folder, (*command, *again), sent)
            if status == 0:
                break
            kills[name] += 1
            if status not in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, 143, 130):
                yield f"{name}: exit code {status}: {said}"
        else:
            yield f"{name}: the loop of {' '.join(command)} does not end: {said}"


def session(server: ForkServer, folder: Path, words: Command, sent: Signal | None = None) -> tuple[int, str]:
    """Run ``biofm`` to its end or until it is signalled; its exit code and the end of what it said."""
    ended = server.run("tests.heavy:run_biofm", words, folder=folder, sent=sent)
    return ended.exit_codes[0], (ended.out + ended.err)[-2000:]


def differences(folder: Path, whole: Path, job: str) -> Iterator[str]:
    for result in JOBS[job].results:
        one, other = contents(folder / result), contents(whole / result)
        if one != other:
            names = sorted(name for name in {**one, **other} if one.get(name) != other.get(name))
            yield f"{job}: {result} is not that of the undisturbed run: {', '.join(names)}"
    hidden = [str(path.relative_to(folder)) for path in folder.rglob(".*")]
    if hidden:
        yield f"{job}: left behind: {', '.join(hidden)}"


def contents(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


if __name__ == "__main__":
    sys.exit(main())
