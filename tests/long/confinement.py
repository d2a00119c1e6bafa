"""Measures what the confinement of `biofm run-program` costs, beside the same program run plainly.

A convolution over an array of 64 x 64 x 64 numbers runs in turn, each in a process of its own: by the plain
script (torch.export.load, numpy.load, the program, numpy.save), by a worker without layers, and by a worker
with all of them; then by the command. The results are the same to the last bit. Medians of the rounds are
printed, of the time and of the processor time, which other programs of the machine change less. In processor
time the worker with all layers takes at most 0.3 s and 10 % more than the one without, and at most 1 s and
10 % more than the plain script. About three minutes with two cores.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, chdir
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import torch

from biofm.core.programs import ProgramJob, ProgramResult
from biofm.gate.confinement import ALL_LAYERS, Grant, Layer, Readable, Worker

MOST_MORE, MOST_MORE_S, MOST_MORE_THAN_PLAIN_S = 0.1, 0.3, 1.0
SHAPE = (64, 64, 64)
PLAIN = """
import numpy, torch
module = torch.export.load("program.pt2").module()
with torch.no_grad():
    made = module(torch.from_numpy(numpy.load("input.npy", allow_pickle=False)))
numpy.save("plain.npy", made.numpy())
"""
NOTHING = "import torch"


class Convolve(torch.nn.Module):
    """Convolves an array."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv3d(1, 1, 5, padding=2)

    def forward(self, array: torch.Tensor) -> torch.Tensor:
        return self.convolution(array[None, None])[0, 0]


def write_inputs() -> None:
    """Write the program, the array and its spacing into the current folder."""
    with torch.no_grad():
        torch.export.save(torch.export.export(Convolve().eval(), (torch.zeros(SHAPE),)), "program.pt2")
    np.save("input.npy", np.random.default_rng(0).normal(size=SHAPE).astype("float32"))
    Path("input.json").write_text(json.dumps({"spacing_mm": [1.0, 1.0, 1.0]}))


def run_python(*words: str) -> None:
    """Run a process of Python to its end."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment)


def run_worker(layers: frozenset[Layer]) -> None:
    """Run the program in a worker that these layers hold, and check its numbers."""
    names = {"program": "program.pt2", "input": "input.npy", "spacing": "input.json"}
    with ExitStack() as stack:
        opened = {role: stack.enter_context(open(name, "rb")) for role, name in names.items()}
        files = {role: Readable(descriptor=one.fileno(), path=one.name) for role, one in opened.items()}
        grant = Grant(
            files=files, cpu_s=600, memory_bytes=16 * 10**9, file_bytes=1 << 30, array_bytes=1 << 30
        )
        worker = Worker(module="biofm.inference.worker", grant=grant, time_s=600, layers=layers)
        with worker.run(ProgramJob(**names), ProgramResult) as finished:
            made = np.frombuffer(finished.memory.read(4 * 64**3), "<f4").reshape(SHAPE)
    assert (made == np.load("plain.npy")).all()


def processor_s() -> float:
    """Return how much processor time the processes that have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how many times each is run")
    n_rounds = parser.parse_args().rounds
    command = "from biofm.cli import main; main()"
    words = ("run-program", "program.pt2", "input.npy", "-o", "made.npy", "--overwrite", "--quiet")
    runs: dict[str, Callable[[], None]] = {
        "import torch alone": lambda: run_python("-c", NOTHING),
        "plain script": lambda: run_python("-c", PLAIN),
        "worker without layers": lambda: run_worker(frozenset()),
        "worker with all layers": lambda: run_worker(ALL_LAYERS),
        "biofm run-program": lambda: run_python("-c", command, *words),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    busy: dict[str, list[float]] = {name: [] for name in runs}
    with TemporaryDirectory(prefix="biofm-confinement-") as folder, chdir(folder):
        write_inputs()
        for _ in range(n_rounds):
            for name, run in runs.items():
                began, before = perf_counter(), processor_s()
                run()
                times[name].append(perf_counter() - began)
                busy[name].append(processor_s() - before)
        assert (np.load("made.npy") == np.load("plain.npy")).all()
    for name, taken in times.items():
        spread = f"from {min(taken):.2f} to {max(taken):.2f}"
        print(f"{name}: {median(taken):.2f} s ({spread}), processor {median(busy[name]):.2f} s")
    plain, free, held = (
        median(busy[name]) for name in ("plain script", "worker without layers", "worker with all layers")
    )
    print(f"in processor time the layers cost {held - free:+.2f} s, the worker {held - plain:+.2f} s")
    is_cheap = held <= (1 + MOST_MORE) * free + MOST_MORE_S
    is_near_plain = held <= (1 + MOST_MORE) * plain + MOST_MORE_THAN_PLAIN_S
    return int(not (is_cheap and is_near_plain))


if __name__ == "__main__":
    sys.exit(main())
