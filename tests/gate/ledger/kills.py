"""Eight processes write to one ledger and are killed at random, in rounds; prints what went wrong as JSON.

A process says of each entry that it is written, by a line on a pipe, as soon as it is acknowledged. Segments
are so short here that many of the kills come while one is archived.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from biofm.gate import Ledger
from biofm.gate.ledger import segments
from biofm.gate.ledger.reading import entries_of
from biofm.gate.ledger.verify import verify

N_PROCESSES = 8
LONGEST_S = 0.4
N_ENTRIES = 40  # of a segment

Written = tuple[int, int, int]


def write(path: Path, words: tuple[int, int], acknowledged: int) -> None:
    """Write entries until the process is killed, and say which are written."""
    segments.MOST_ENTRIES = segments.FEWEST_ENTRIES = N_ENTRIES
    for number in count():
        with Ledger(path).writing() as book:
            book.append("confinement", {"words": [*words, number]})
            book.raise_labels(f"holder {words[1]}", "", number % 16)
        os.write(acknowledged, json.dumps([*words, number]).encode() + b"\n")


def start(path: Path, words: tuple[int, int]) -> tuple[int, int]:
    """Start a process that writes, and return its number and the pipe on which it says what is written."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(reading)
            write(path, words, writing)
        finally:
            os._exit(1)
    os.close(writing)
    return process, reading


def play(path: Path, number: int, generator: random.Random) -> tuple[set[Written], list[str]]:
    """Play one round, and return what was acknowledged and which processes ended by themselves."""
    started = [start(path, (number, one)) for one in range(N_PROCESSES)]
    begin = time.monotonic()
    for after_s, (process, _) in sorted((generator.uniform(0, LONGEST_S), one) for one in started):
        time.sleep(max(0, begin + after_s - time.monotonic()))
        os.kill(process, signal.SIGKILL)
    written, faults = set(), []
    for process, pipe in started:
        with open(pipe, "rb") as lines:
            written |= {tuple(json.loads(line)) for line in lines if line.endswith(b"\n")}
        _, status = os.waitpid(process, 0)
        if not os.WIFSIGNALED(status):
            faults.append(f"round {number}: a process ended by itself")
    return written, faults


def faults_after(path: Path, written: set[Written]) -> list[str]:
    """Return what is lost, what is there twice, and what verification finds."""
    found = [
        tuple(entry.fields["words"])
        for entry in entries_of(path)
        if entry.fields["kind"] == "confinement"
    ]  # fmt: skip
    faults = [f"{one} was acknowledged and is lost" for one in sorted(written - set(found))]
    if len(found) != len(set(found)):
        faults.append("an entry is there twice")
    return [*faults, *verify(path).findings]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20)
    wanted = parser.parse_args()
    generator, written, faults = random.Random(wanted.seed), set[Written](), list[str]()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "state" / "ledger.sqlite3"
        for number in range(wanted.rounds):
            acknowledged, ended = play(path, number, generator)
            written |= acknowledged
            faults += ended
            if number % 10 == 9 or number == wanted.rounds - 1:
                faults += faults_after(path, written)
        n_archives = len(list(segments.archive_folder(path).glob("*.jsonl")))
    n_kills = wanted.rounds * N_PROCESSES
    print(json.dumps({"kills": n_kills, "written": len(written), "archives": n_archives, "faults": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
