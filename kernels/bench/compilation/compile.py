"""Compiles every kernel for GPUs that are not there, and reports what each would take of them.

    python kernels/bench/compilation/compile.py            # compare with resources.csv
    python kernels/bench/compilation/compile.py --write    # renew it

The specimens call the kernels' own launchers, and a kernel is compiled where it would be launched: types,
alignment and block sizes are those of a real launch. A kernel is at fault if it spills registers to memory,
asks for more shared memory than there is, multiplies matrices of 16-bit numbers without the instructions for
it, or takes over ``SLACK`` registers more than when the table was written. A Triton other than the one that
wrote the table may spill ``SLACK`` times.
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
from specimens import SPECIMENS
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

TABLE = Path(__file__).parent / "resources.csv"
WRITTEN_WITH = "3.7.1"  # The Triton of constraints.txt.
SLACK = 8  # Registers, or loads and stores of them, that another release of the compiler may add.


class Architecture(NamedTuple):
    """Holds what an architecture offers."""

    shared_bytes: int  # The most that one block may take.
    matrix_instruction: str


# Shared memory: CUDA C++ Programming Guide, technical specifications by compute capability. 8.0 has 163 KB,
# but its table also serves 8.6 and 8.9, so it uses what these have.
ARCHITECTURES = {
    80: Architecture(99 * 1024, r"HMMA"),
    90: Architecture(227 * 1024, r"HGMMA"),
    100: Architecture(227 * 1024, r"UTC\w*MMA"),
    120: Architecture(99 * 1024, r"HMMA"),
}


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Describes a compiled kernel: one row of the table."""

    architecture: int
    specimen: str
    kernel: str
    sizes: str
    registers: int
    spills: int  # Instructions that store or load a spilled register.
    shared_bytes: int
    matrix_products: int  # Of 16-bit numbers, in the source.
    matrix_instructions: int

    @property
    def key(self) -> tuple[int, str, str]:
        """The values by which a row is known again."""
        return self.architecture, self.specimen, self.kernel


class _Device:
    """Answers what Triton asks of a device before it compiles."""

    def __init__(self, architecture: int) -> None:
        self.architecture = architecture

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.architecture, 32)

    def get_current_device(self) -> int:
        return self.architecture  # Triton keeps what it compiled for each number.

    def get_current_stream(self, device: int) -> int:
        return 0


class Compiled(NamedTuple):
    """Holds a compiled kernel."""

    name: str
    sizes: dict[str, int]
    kernel: Any


@contextmanager
def compiling_for(architecture: int) -> Iterator[list[Compiled]]:
    """Compile for ``architecture`` inside the ``with`` block instead of launching, and list the kernels.

    Block sizes come from the architecture's table.
    """
    compiled: list[Compiled] = []
    run = JITFunction.run

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
        kernel = run(self, *args, grid=grid, warmup=True, **kwargs)
        sizes = {name: kwargs[name] for name in kwargs if name.startswith(("BLOCK", "num_", "maxnreg"))}
        compiled.append(Compiled(self.fn.__name__, sizes, kernel))

    tables.block_sizes.cache_clear()
    with (
        mock.patch.object(triton.runtime.driver, "_active", _Device(architecture)),
        mock.patch.object(JITFunction, "run", compile_only),
        mock.patch.object(tables, "table_name", return_value=f"sm_{architecture}"),
    ):
        yield compiled
    tables.block_sizes.cache_clear()


def measure(specimens: Iterable[str], architecture: int) -> list[Resources]:
    """Compile specimens for one architecture and measure their kernels."""
    rows = []
    for specimen in specimens:
        with compiling_for(architecture) as compiled:
            SPECIMENS[specimen]()
        rows += [resources(each, specimen, architecture) for each in compiled]
    return rows


def resources(compiled: Compiled, specimen: str, architecture: int) -> Resources:
    """Read off a compiled kernel what it takes."""
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
        matrix_products=len(re.findall(r"tt\.dot .*: tensor<\w*xb?f16>", compiled.kernel.asm["ttir"])),
        matrix_instructions=len(re.findall(rf"\b{ARCHITECTURES[architecture].matrix_instruction}", code)),
    )


def _run(*command: str) -> str:
    """Run a command and return what it prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def faults(found: Iterable[Resources], recorded: Iterable[Resources]) -> list[str]:
    """List what is wrong with the kernels, in words; nothing if all is well."""
    before = {row.key: row.registers for row in recorded}
    return [
        f"sm_{row.architecture}, {row.specimen}: {row.kernel} ({row.sizes}) {fault}"
        for row in found
        for fault in _faults_of(row, before.get(row.key))
    ]


def _faults_of(row: Resources, registers_before: int | None) -> Iterator[str]:
    """Yield what is wrong with one kernel."""
    architecture = ARCHITECTURES[row.architecture]
    if row.spills > (0 if triton.__version__ == WRITTEN_WITH else SLACK):
        yield f"spills registers (loads and stores: {row.spills})"
    if row.shared_bytes > architecture.shared_bytes:
        yield f"takes {row.shared_bytes} bytes of shared memory; there are {architecture.shared_bytes}"
    if row.matrix_products and not row.matrix_instructions:
        yield f"multiplies matrices without {architecture.matrix_instruction}"
    if registers_before is None:
        yield f"is not in {TABLE.name}: `python kernels/bench/compilation/compile.py --write` adds it"
    elif row.registers > registers_before + SLACK:
        yield f"takes {row.registers} registers; when the table was written it took {registers_before}"


def read_table() -> list[Resources]:
    """Read the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    numbers = [field.name for field in fields(Resources) if field.type is int]
    return [Resources(**row | {name: int(row[name]) for name in numbers}) for row in rows]


def write_table(rows: Iterable[Resources]) -> None:
    """Write the table."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Resources)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="renew the rows of resources.csv")
    parser.add_argument("--only", default="", help="compile only specimens whose name contains this text")
    parser.add_argument("--architecture", type=int, choices=ARCHITECTURES, nargs="+")
    arguments = parser.parse_args()
    if arguments.write and triton.__version__ != WRITTEN_WITH:
        parser.error(
            f"this is Triton {triton.__version__}: set WRITTEN_WITH to it, and renew the whole table"
        )
    chosen = [name for name in SPECIMENS if arguments.only in name]
    architectures = arguments.architecture or list(ARCHITECTURES)
    rows = [row for architecture in architectures for row in measure(chosen, architecture)]
    for row in rows:
        print(*asdict(row).values(), sep="  ")
    if arguments.write:
        renewed = {(row.architecture, row.specimen) for row in rows}
        kept = (row for row in read_table() if (row.architecture, row.specimen) not in renewed)
        in_order = sorted(
            [*(row for row in kept if row.specimen in SPECIMENS), *rows],
            key=lambda row: (row.architecture, list(SPECIMENS).index(row.specimen)),
        )
        write_table(in_order)
    sys.exit("\n".join(faults(rows, read_table())) or None)


if __name__ == "__main__":
    main()
