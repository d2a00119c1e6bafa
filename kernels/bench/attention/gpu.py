"""Times attention on a GPU: checks that it is right, how fast the GPU is, and how fast biofm is beside torch
and ``transformers``.

    python kernels/bench/attention/gpu.py [--minutes 9] [--csv FILE]        # on a GPU
    python kernels/bench/attention/gpu.py --tune [--minutes 9]              # on a GPU: the best block sizes
    TRITON_INTERPRET=1 python kernels/bench/attention/gpu.py --rehearse     # on a CPU: the script, tiny

    1. Every mode of biofm's kernels is compared with float64, in the forward pass and in the gradients, and
       run again for the same bits. If one fails, nothing is timed.
    2. The ceilings are measured: a matrix product and a copy.
    3. Attention is timed, forward and forward with gradients (credited with 3.5 times the arithmetic), on
       proteins, on equal lengths from 128 to 8192, and on DNA with a window. ``providers.py`` says who takes
       part.
    4. ESM-2 650M is timed, a forward pass and a training step: ``encoders.py``.

The most telling rows come first. A time is the median of the GPU's own, by events, with a cold cache. Each
row is written to the CSV file at once; a second run with the same file continues where the first ran out of
minutes. The table is printed last.
"""

import argparse
import os
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import correctness
import torch
import tune
from biofm_kernels import backend
from biofm_kernels.configs.tables import TABLES
from device import ceilings, facts
from providers import BIOFM, UnsuitableError
from rows import Results, Row
from tasks import FULL, REHEARSED, Bench, Sizes, Task, tasks

RESULTS = Path(__file__).parents[1] / "results"


def main() -> None:
    options = _options()
    deadline = time.monotonic() + 60 * options.minutes
    device, sizes = (torch.device("cpu"), REHEARSED) if options.rehearse else (torch.device("cuda"), FULL)
    _check_device(options.rehearse)
    with backend("triton"):
        _check_kernels(device, sizes)
        if options.tune:
            space = tune.REHEARSED if options.rehearse else tune.FULL
            tune.tune(device, space, deadline, options.configs)
        else:
            _run(device, sizes, deadline, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=9, help="start no row after so many minutes")
    parser.add_argument(
        "--csv", type=Path, help="file of the rows; default: results/<date>-<gpu>-<commit>.csv"
    )
    parser.add_argument("--commit", help="commit to write into the file if git cannot tell it")
    parser.add_argument(
        "--tune", action="store_true", help="find block sizes and write them to configs/<device>.json"
    )
    parser.add_argument("--configs", type=Path, default=TABLES, help="folder that --tune writes to")
    parser.add_argument(
        "--rehearse", action="store_true", help="run a tiny version on the CPU, in Triton's interpreter"
    )
    return parser.parse_args()


def _check_device(is_rehearsal: bool) -> None:
    """Stop the program if there is no device for this run."""
    if is_rehearsal and os.environ.get("TRITON_INTERPRET") != "1":
        raise SystemExit(
            "a rehearsal runs in Triton's interpreter: set TRITON_INTERPRET=1 in the environment"
        )
    if not is_rehearsal and not torch.cuda.is_available():
        raise SystemExit("there is no CUDA device here; --rehearse runs on the CPU")


def _check_kernels(device: torch.device, sizes: Sizes) -> None:
    """Stop the program if a kernel is wrong."""
    workloads = correctness.cases((*sizes.shapes, sizes.padded_shape), sizes.checked_lengths)
    faults = list(correctness.faults(workloads, device, sizes.n_checked_runs))
    if faults:
        raise SystemExit("\n".join([*faults, "The kernels are wrong: nothing is timed."]))
    print(f"the kernels agree with float64; cases: {len(workloads)}, modes: {len(BIOFM)}", flush=True)


def _run(device: torch.device, sizes: Sizes, deadline: float, options: argparse.Namespace) -> None:
    """Measure all rows that the file does not hold yet, and print the table."""
    bench = Bench(device, ceilings(device))
    print(f"matmul {bench.ceilings.flops / 1e12:.3g} TFLOP/s, copy {bench.ceilings.bytes / 1e12:.3g} TB/s")
    measured = {
        "matmul_tflops": f"{bench.ceilings.flops / 1e12:.4g}",
        "copy_tb_per_s": f"{bench.ceilings.bytes / 1e12:.4g}",
    }
    known = facts(device, options.commit)
    name = f"{date.today()}-{known['gpu'].replace(' ', '_')}-{known['commit']}.csv"
    results = Results(options.csv or RESULTS / name, known | measured)
    try:
        left = [task for task in tasks(sizes) if not results.has(task.row.key)]
        _measure_all(left, bench, results, deadline)
    finally:
        results.print_table()


def _measure_all(left: list[Task], bench: Bench, results: Results, deadline: float) -> None:
    """Measure rows until the time is up."""
    for number, task in enumerate(left):
        if time.monotonic() > deadline:
            print(f"out of time: rows are left for another run with this file ({len(left) - number})")
            return
        row = _measured_or_reason(task, bench)
        results.add(row)
        print(".", end="", flush=True)


def _measured_or_reason(task: Task, bench: Bench) -> Row:
    """Measure a row; if its provider fails, in whatever way, return the row with the reason.

    A GPU that failed ends the run.
    """
    try:
        return task.measure(bench)
    except torch.AcceleratorError:
        raise
    except Exception as error:  # noqa: BLE001 - of packages that are not ours, and their compilers
        kind = "" if isinstance(error, UnsuitableError) else f"{type(error).__name__}: "
        return replace(task.row, reason=kind + (str(error).strip().partition("\n")[0]))


if __name__ == "__main__":
    main()
