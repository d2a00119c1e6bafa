"""Proves that `biofm neighbours` is as fast as a plain loop over blocks, in memory that does not grow.

Embeddings of 12, 20,000 and 200,000 rows of 128 random numbers are written. Then in turn, each in a process
of its own: the plain loop (numpy; all rows in memory, a block of them against all, argpartition) and the
command, both timed behind their imports, from the file to the answer. The command takes at most 2 times the
time of the loop, on 20,000 rows; its memory there, above that on 12 rows, is at most 1.5 times that of the
loop above its imports; and on 200,000 rows it is that, and what is printed. Medians of the rounds are
compared. About ten minutes with two cores, for all three sizes.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import h5py
import numpy as np

from biofm.core.outputs import EmbeddingBlock, open_writer

N_FEW, N_ROWS, N_MANY, N_DIMENSIONS = 12, 20_000, 200_000, 128
MOST_TIME, MOST_MEMORY = 2.0, 1.5
OUTPUT_BYTES_A_ROW = 600
"""What a printed row may take: its id, its row of the table and that row's text, each as Python keeps it."""

PLAIN = """
import sys, h5py, numpy as np
IMPORTS = peak()
began = time.perf_counter()
with h5py.File(sys.argv[1]) as file:
    rows = file["X"][:]
rows -= rows.mean(0)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
for start in range(0, len(rows), 512):
    products = rows[start : start + 512] @ rows.T
    products[np.arange(len(products)), np.arange(start, start + len(products))] = -np.inf
    best = np.argpartition(products, -1, axis=1)[:, -1:]
print(time.perf_counter() - began, peak() - IMPORTS, file=sys.stderr)
"""
COMMAND = """
import sys, anndata.io, h5py
from biofm import api
from biofm.cli import main
sys.argv[1:] = ["neighbours", sys.argv[1], "--quiet"]
began = time.perf_counter()
try:
    main()
finally:
    print(time.perf_counter() - began, peak(), file=sys.stderr)
"""
PEAK = """
import time
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
"""


class Run(NamedTuple):
    seconds: float
    n_bytes: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="of which the medians count [default: 3]")
    parser.add_argument("--without-many", action="store_true", help="leave 200,000 rows out")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        few, rows, many = (write(Path(folder), n) for n in (N_FEW, N_ROWS, N_MANY))
        base = of_rounds(options.rounds, lambda: measure(COMMAND, few))
        plain, own = [], []
        for _ in range(options.rounds):
            plain.append(measure(PLAIN, rows))
            own.append(measure(COMMAND, rows))
            print(f"plain loop {plain[-1].seconds:.1f} s, command {own[-1].seconds:.1f} s", flush=True)
        loop, command = medians(plain), medians(own)
        time_ratio = command.seconds / loop.seconds
        memory_ratio = (command.n_bytes - base.n_bytes) / loop.n_bytes
        print(f"{N_FEW} rows: {base.seconds:.2f} s, {base.n_bytes / 1e6:.0f} MB in all")
        print(f"{N_ROWS:,} rows: plain loop {loop.seconds:.2f} s, {loop.n_bytes / 1e6:.0f} MB above imports")
        above = (command.n_bytes - base.n_bytes) / 1e6
        print(f"{N_ROWS:,} rows: command {command.seconds:.2f} s, {above:.0f} MB above {N_FEW} rows")
        print(
            f"time {time_ratio:.2f} (at most {MOST_TIME}), memory {memory_ratio:.2f} (at most {MOST_MEMORY})"
        )
        holds = time_ratio <= MOST_TIME and memory_ratio <= MOST_MEMORY
        if not options.without_many:
            largest = measure(COMMAND, many)
            growth, output = largest.n_bytes - command.n_bytes, OUTPUT_BYTES_A_ROW * (N_MANY - N_ROWS)
            print(f"{N_MANY:,} rows: {largest.seconds:.0f} s, {growth / 1e6:.0f} MB above {N_ROWS:,} rows")
            print(f"of which the output may take {output / 1e6:.0f} MB")
            holds = holds and growth <= output
    return 0 if holds else 1


def write(folder: Path, n_rows: int) -> Path:
    path = folder / f"{n_rows}.h5ad"
    values = np.random.default_rng(n_rows).standard_normal((n_rows, N_DIMENSIONS), dtype=np.float32)
    with path.open("w+b") as handle:
        store = open_writer(handle, ".h5ad", per_residue=False, scratch_folder=None)
        store.append(
            EmbeddingBlock([f"protein-{i}" for i in range(n_rows)], [1] * n_rows, [100] * n_rows, values)
        )
        store.close({"model": "random numbers"})
    with h5py.File(path) as file:
        assert file["X"].shape == (n_rows, N_DIMENSIONS)
    return path


def measure(program: str, path: Path) -> Run:
    """The program on the file, in a process of its own: the seconds and the bytes that it says last."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK + program, str(path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    seconds, n_bytes = done.stderr.split()[-2:]
    return Run(float(seconds), int(n_bytes))


def of_rounds(n_rounds: int, run: Callable[[], Run]) -> Run:
    return medians([run() for _ in range(n_rounds)])


def medians(runs: list[Run]) -> Run:
    return Run(median(run.seconds for run in runs), round(median(run.n_bytes for run in runs)))


if __name__ == "__main__":
    sys.exit(main())
