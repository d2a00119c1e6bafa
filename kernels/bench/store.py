"""Times the token store at 10 thousand, 1 million and 5 million sequences: preparing it, memory, random
access.

    python kernels/bench/store.py [--sequences 10000 1000000 5000000] [--accesses 10000] [--folder DIR]

1. Writes deterministic FASTA files with lengths like UniRef90's but shorter (log-normal, mean about 120
residues, some 150 bytes for each sequence) into a temporary folder.

2. Prepares each with ``biofm.prepare`` in its own process, with a random split. The process reports its
seconds, by the clock and by its processor, and its resident memory, before and at the peak.

3. Reads the smallest and the largest store in turns, at places drawn at random, after touching all their
pages: a view of a sequence, a copy of its tokens, and the copy as int64 that a model takes. The last is also
timed on the same values in plain arrays: what it costs at the two sizes differs by what the processor's
caches hold.

4. Plans batches (4,096 tokens, crops of 1,022).
"""

import argparse
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from biofm_datasets.sampling import Mixture, Plan
from biofm_datasets.store import TokenStore, open_store
from numpy.typing import NDArray

from biofm.core.memory import peak_resident_bytes

SIZES = (10_000, 1_000_000, 5_000_000)
RESIDUES = np.frombuffer(b"LAGVSERTIDPKQNFYMHWC", np.uint8)
MEAN_LOG, SPREAD_LOG, SHORTEST, LONGEST = 4.55, 0.68, 20, 2000
CHUNK = 50_000
LINE = 60
BUDGET, MAX_LENGTH = 4096, 1022


Take = Callable[[TokenStore, int], object]


class Prepared(NamedTuple):
    """Holds how long preparing one store took, and resident memory before and at its peak."""

    n: int
    seconds: float
    processor_seconds: float
    before_mb: float
    peak_mb: float
    n_residues: int


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        os.environ.setdefault("XDG_STATE_HOME", name)
        python = f"Python {platform.python_version()}, numpy {np.__version__}"
        print(f"{platform.machine()}, {_processor()}, {os.cpu_count()} cores, {python}")
        rows = [_prepare_one(folder, n) for n in sorted(options.sequences)]
        _print_prepared(rows)
        _compare_access(folder, rows[0].n, rows[-1].n, options.accesses)
        _plan(open_store(folder / str(rows[-1].n)).tokens)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sequences", type=int, nargs="+", default=SIZES)
    parser.add_argument("--accesses", type=int, default=10_000)
    parser.add_argument(
        "--folder", type=Path, help="folder for the temporary files: 1.6 GB at 5 million sequences"
    )
    return parser.parse_args()


def _prepare_one(folder: Path, n: int) -> Prepared:
    """Write the FASTA file, prepare it in a fresh process, and remove the file."""
    fasta = folder / f"{n}.fasta"
    write_fasta(fasta, n)
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_prepare, args=(fasta, folder / str(n), there))
    process.start()
    prepared = Prepared(n, *here.recv())
    process.join()
    fasta.unlink()
    return prepared


def _prepare(fasta: Path, folder: Path, answer: "multiprocessing.connection.Connection") -> None:
    """Prepare a store in this process and send back what it took."""
    import biofm

    _ = biofm.prepare  # Import what it needs, torch among it, before anything is measured.
    before_mb, began, began_working = _peak_mb(), time.perf_counter(), time.process_time()
    summary = biofm.prepare(fasta, folder, split="random", validation=0.01, test=0.01)
    seconds = (time.perf_counter() - began, time.process_time() - began_working)
    answer.send((*seconds, before_mb, _peak_mb(), summary.n_residues))


def _peak_mb() -> float:
    """Return the most memory that the process has used so far, in MB."""
    return peak_resident_bytes() / (1 << 20)


def write_fasta(path: Path, n: int) -> None:
    """Write ``n`` made-up proteins, the same ones at every call, in lines of 60 residues."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for begin in range(0, n, CHUNK):
            size = min(CHUNK, n - begin)
            lengths = np.clip(rng.lognormal(MEAN_LOG, SPREAD_LOG, size), SHORTEST, LONGEST).astype(int)
            residues = RESIDUES[rng.integers(0, 20, lengths.sum(), np.uint8)].tobytes()
            ends = np.cumsum(lengths).tolist()
            records = []
            for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False), start=begin):
                lines = b"\n".join(residues[i : min(i + LINE, end)] for i in range(start, end, LINE))
                records.append(b">UniRef90_%09d\n%s\n" % (number, lines))
            file.write(b"".join(records))


def _print_prepared(rows: list[Prepared]) -> None:
    """Print a table of what preparing took."""
    header = ("sequences", "residues", "seconds", "processor s", "a processor s", "MB before", "MB at peak")
    print("  ".join(f"{name:>13}" for name in header))
    for row in rows:
        cells = (
            f"{row.n:,}", f"{row.n_residues:,}", f"{row.seconds:.1f}", f"{row.processor_seconds:.1f}",
            f"{row.n / row.processor_seconds:,.0f}", f"{row.before_mb:.0f}", f"{row.peak_mb:.0f}",
        )  # fmt: skip
        print("  ".join(f"{cell:>13}" for cell in cells))


def _compare_access(folder: Path, small: int, large: int, n: int) -> None:
    """Time random access to the smallest and the largest store, and print a table."""
    stores = [open_store(folder / str(size)).tokens for size in (small, large)]
    for store in stores:
        assert store.tokens.max() < 33, "every page is touched"
        assert store.offsets[-1] == store.offsets.max()
    print(f"{'microseconds':>14}  {f'{small:,}':>18}  {f'{large:,}':>18}  {'ratio':>6}")
    in_memory = [TokenStore(np.array(store.tokens), np.array(store.offsets)) for store in stores]
    for name, take, kept in (
        ("a view", _view, stores),
        ("a copy", _copy, stores),
        ("as int64", _as_int64, stores),
        ("int64, arrays", _as_int64, in_memory),
    ):
        small_us, large_us = _race(kept, take, n)
        cells = [f"{np.median(us):.2f} (p99 {np.percentile(us, 99):.2f})" for us in (small_us, large_us)]
        ratio = np.median(large_us) / np.median(small_us)
        print(f"{name:>14}  {cells[0]:>18}  {cells[1]:>18}  {ratio:6.2f}")


def _view(store: TokenStore, i: int) -> object:
    """Return a view of a sequence."""
    return store[i]


def _copy(store: TokenStore, i: int) -> object:
    """Copy the tokens of a sequence."""
    return store[i].copy()


def _as_int64(store: TokenStore, i: int) -> object:
    """Copy the tokens of a sequence as int64."""
    return store[i].astype(np.int64)


def _race(stores: list[TokenStore], take: Take, n: int) -> list[NDArray[np.float64]]:
    """Measure the microseconds of each access, with the stores in turns of 100."""
    rng = np.random.default_rng(1)
    places = [rng.integers(0, len(store), n).tolist() for store in stores]
    taken: list[list[int]] = [[] for _ in stores]
    clock = time.perf_counter_ns
    for begin in range(0, n, 100):
        for store, some, times in zip(stores, places, taken, strict=True):
            for i in some[begin : begin + 100]:
                began = clock()
                take(store, i)
                times.append(clock() - began)
    return [np.array(times) / 1e3 for times in taken]


def _plan(store: TokenStore) -> None:
    """Time the planning of batches, and print its speed."""
    plan = Plan(
        Mixture([np.arange(len(store))], None, seed=0), store, budget=BUDGET, max_length=MAX_LENGTH, seed=0
    )
    began, n_members, n_tokens, n_bins = time.perf_counter(), 0, 0, 0
    for cursor, members in plan.bins():
        if cursor.stretch == 20:
            break
        n_members, n_bins = n_members + len(members), n_bins + 1
        n_tokens += int(np.minimum(store.lengths(members), MAX_LENGTH).sum())
    seconds = time.perf_counter() - began
    print(
        f"planning: {n_members / seconds:,.0f} sequences a second into batches of {BUDGET:,} tokens, "
        f"{1 - n_tokens / (n_bins * BUDGET):.2%} of them empty"
    )


def _processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")


if __name__ == "__main__":
    main()
