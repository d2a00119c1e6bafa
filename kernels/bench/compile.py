"""Compiles every kernel for GPUs that are not there, and reads off what each would take of them.

    python kernels/bench/compile.py            # compare with resources.csv
    python kernels/bench/compile.py --write    # renew it

The specimens call the kernels' own launchers; a kernel is compiled where it would be launched, so that types,
alignment and block sizes are those of a real launch. A kernel that spills registers to memory, asks for more
shared memory than a multiprocessor has, multiplies matrices of 16-bit numbers without the instructions for it, or
grew by more than ``SLACK`` registers since the table was written, is a fault.
"""

import argparse
import csv
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import triton
from biofm_kernels.configs import tables
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from specimens import SPECIMENS

TABLE = Path(__file__).parent / "resources.csv"
SLACK = 8  # registers: what another release of the compiler may move


class Architecture(NamedTuple):
    shared_bytes: int  # that one block may take
    matrix_instruction: str


# Shared memory: CUDA C++ Programming Guide, table of technical specifications by compute capability.
ARCHITECTURES = {
    80: Architecture(163 * 1024, r"HMMA"),
    90: Architecture(227 * 1024, r"HGMMA"),
    100: Architecture(227 * 1024, r"UTC\w*MMA"),
}


@dataclass(frozen=True, kw_only=True)
class Resources:
    """One row of the table: a compiled kernel. ``spills`` counts loads and stores of spilled registers."""

    architecture: int
    specimen: str
    kernel: str
    sizes: str
    registers: int
    spills: int
    shared_bytes: int
    matrix_instructions: int
    multiplies_16_bit: bool


class _Compiler:
    """What Triton asks of a device: which one it is. Launches nothing."""

    def __init__(self, architecture: int) -> None:
        self.architecture = architecture

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.architecture, 32)

    def get_current_device(self) -> int:
        return self.architecture  # Triton keeps what it compiled by device

    def get_current_stream(self, device: int) -> int:
        return 0


class Compiled(NamedTuple):
    name: str
    sizes: dict[str, int]
    kernel: Any


@contextmanager
def compiling_for(architecture: int) -> Iterator[list[Compiled]]:
    """Within, a launch compiles for ``architecture``, with the block sizes of its table, and is listed."""
    compiled: list[Compiled] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        sizes = {name: kwargs[name] for name in kwargs if name.startswith(("BLOCK", "num_"))}
        compiled.append(Compiled(self.fn.__name__, sizes, kernel))

    table = tables.read(f"sm_{architecture}")
    triton.runtime.driver.set_active(_Compiler(architecture))
    tables.block_sizes.cache_clear()
    with mock.patch.object(JITFunction, "run", compile_only), mock.patch.object(tables, "table", lambda _: table):
        yield compiled
    tables.block_sizes.cache_clear()


def measure(specimens: Iterable[str], architecture: int) -> list[Resources]:
    rows = []
    for specimen in specimens:
        with compiling_for(architecture) as compiled:
            SPECIMENS[specimen]()
        rows += [resources(each, specimen, architecture) for each in compiled]
    return rows


def resources(compiled: Compiled, specimen: str, architecture: int) -> Resources:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.kernel.asm["cubin"])
        file.flush()
        usage = _run(triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name)
        code = _run(triton.knobs.nvidia.nvdisasm.path, "-c", file.name)
    (registers,) = re.findall(r"REG:(\d+)", usage)
    return Resources(
        architecture=architecture,
        specimen=specimen,
        kernel=compiled.name,
        sizes=" ".join(f"{name}={size}" for name, size in compiled.sizes.items()),
        registers=int(registers),
        spills=len(re.findall(r"\b(?:LDL|STL)\b", code)),
        shared_bytes=compiled.kernel.metadata.shared,
        matrix_instructions=len(re.findall(rf"\b{ARCHITECTURES[architecture].matrix_instruction}", code)),
        multiplies_16_bit=bool(re.search(r"tt\.dot .*xb?f16>", compiled.kernel.asm["ttir"])),
    )


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def faults(found: Iterable[Resources], recorded: Iterable[Resources]) -> list[str]:
    """What is wrong with each kernel, in words; nothing if all is well."""
    known = {(row.architecture, row.specimen, row.kernel): row for row in recorded}
    listed = []
    for row in found:
        kernel = f"sm_{row.architecture} {row.specimen}: {row.kernel} ({row.sizes})"
        architecture = ARCHITECTURES[row.architecture]
        before = known.get((row.architecture, row.specimen, row.kernel))
        if row.spills:
            listed.append(f"{kernel} spills registers: {row.spills} loads and stores")
        if row.shared_bytes > architecture.shared_bytes:
            listed.append(f"{kernel} takes {row.shared_bytes} of {architecture.shared_bytes} shared bytes")
        if row.multiplies_16_bit and not row.matrix_instructions:
            listed.append(f"{kernel} has no {architecture.matrix_instruction}")
        if before is None:
            listed.append(f"{kernel} is not in {TABLE.name}")
        elif row.registers > before.registers + SLACK:
            listed.append(f"{kernel} takes {row.registers} registers, {before.registers} before")
    return listed


def read_table() -> list[Resources]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    read = {int: int, str: str, bool: "True".__eq__}
    return [Resources(**{field.name: read[field.type](row[field.name]) for field in fields(Resources)}) for row in rows]


def write_table(rows: Iterable[Resources]) -> None:
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Resources)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="renew resources.csv")
    parser.add_argument("--only", default="", help="part of the specimens' names")
    parser.add_argument("--architecture", type=int, choices=ARCHITECTURES, nargs="+", default=list(ARCHITECTURES))
    arguments = parser.parse_args()
    chosen = [name for name in SPECIMENS if arguments.only in name]
    rows = [row for architecture in arguments.architecture for row in measure(chosen, architecture)]
    for row in rows:
        print(*asdict(row).values(), sep="  ")
    if arguments.write:
        write_table(rows)
    sys.exit("\n".join(faults(rows, read_table())) or None)


if __name__ == "__main__":
    main()
