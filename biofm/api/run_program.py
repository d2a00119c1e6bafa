"""The verb ``run-program``: run a caller's exported program over an array, where the kernel confines it."""

import json
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from math import ceil, prod
from os import fstat
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

from biofm.api import options
from biofm.api.declaration import Option, Verb, verb
from biofm.api.inputs import path_of
from biofm.api.workers import WORKERS
from biofm.core.errors import InputError, OutputError, ProcessError
from biofm.core.programs import ProgramJob, ProgramResult, spacing_path
from biofm.core.progress import SILENT, ProgressSink
from biofm.policy import NONE, Reads, Request, RunsCode, Target, Writes

if TYPE_CHECKING:
    from biofm.gate import Permit
    from biofm.gate.confinement import Worker

SUFFIX = ".npy"
CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSummary:
    """Holds what a run of ``run-program`` made.

    Attributes:
        output: The file with the array.
        shape: The size of the array along each axis.
        spacing_mm: The distance of its elements along each axis, in millimetres.
        seconds: How long the run took.
        provenance: How the array was made.
        notices: Sentences that the user should read.
    """

    output: str
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    seconds: float
    provenance: dict[str, Any]
    notices: dict[str, int]


@dataclass(frozen=True, slots=True)
class RunProgram(Verb[ProgramSummary]):
    """Run an exported program over an array on the CPU, in a process that may do nothing else.

    The program is a file that ``torch.export.save`` wrote, of a module with ``forward(array)`` or
    ``forward(array, spacing_mm)``. It returns an array of the same shape, or ``(array, spacing_mm)``.
    Beside the array ``INPUT.npy`` lies ``INPUT.json`` with its spacing in millimetres, one number for each
    axis: ``{"spacing_mm": [0.7, 0.7, 1.25]}``. Beside the output such a file is written, which also says how
    the output was made.

    A program is code: its file can hold any. It runs in a process of its own, which the Linux kernel
    confines. It can read the array and its spacing, and neither other files of the user nor the network, and
    it can write nothing but the result.

    Raises:
        InputError: The program, the array or its spacing is wrong, or the program fails.
        RefusedError: The program tried something that its confinement refuses.
        ProcessError: The program needs more time or memory than it may have.
        OutputError: The output cannot be written.
    """

    program: Annotated[
        str | Path,
        Option("Run this program, which torch.export.save wrote (.pt2)."),
        Reads("program"),
        RunsCode("program"),
    ]
    input: Annotated[
        str | Path,
        Option("Give the program this array, a .npy file."),
        Reads("input"),
    ]
    output: Annotated[
        str | Path,
        Option(
            "Write the array that the program returns into this .npy file, and its spacing into a .json file "
            "beside it.",
            short="-o",
            metavar="FILE",
            group="Output",
        ),
        Writes("output"),
    ]
    _: KW_ONLY
    spacing: Annotated[
        str | Path | None,
        Option(
            "Read the spacing of the array from this .json file. By default it has the name of the array and "
            "lies beside it.",
            metavar="FILE",
            group="Input",
        ),
        Reads("spacing"),
    ] = None
    time_limit_s: Annotated[
        float,
        Option("Stop the program after this many seconds.", flag="--time-limit", group="Run"),
        NONE,
    ] = 3600.0
    memory_limit_gb: Annotated[
        float,
        Option(
            "Let the program use at most this many gigabytes of addresses, and as many for its result.",
            flag="--memory-limit",
            group="Run",
        ),
        NONE,
    ] = 16.0
    overwrite: options.Overwrite = False
    quiet: options.Quiet = True

    def request(self) -> Request:
        program, array, output = path_of(self.program), path_of(self.input), Path(self.output)
        for path, kind in ((array, InputError), (output, OutputError)):
            if path.suffix.lower() != SUFFIX:
                what = "run-program reads and writes .npy files"
                raise kind(what, where=str(path), remedy="Give a name that ends in .npy")
        spacing = path_of(self.spacing) if self.spacing is not None else spacing_path(array)
        reads = {"program": (program,), "input": (array,), "spacing": (spacing,)}
        writes = {
            "output": Target(path=output, overwrite=self.overwrite),
            "provenance": Target(path=spacing_path(output), overwrite=self.overwrite),
        }
        return self.asking(reads=reads, writes=writes)

    def run(self, progress: ProgressSink = SILENT) -> ProgramSummary:
        from biofm.core.provenance import LABELS, sha256_of  # these bring numpy
        from biofm.gate import ask
        from biofm.gate.confinement import enforcement

        began = perf_counter()
        with ask(self.request()) as permit:
            found = enforcement()
            program, array = permit.reader("program"), permit.reader("input")
            made_by = {
                "program": str(self.program),
                "program_sha256": sha256_of([program]),
                "input_sha256": sha256_of([array]),
                **_versions(),
                "confined_by": sorted(found.layers),
                LABELS: permit.labels,
            }
            job = ProgramJob(
                program=str(self.program), input=str(self.input), spacing=permit.reader("spacing").name
            )
            worker = self._worker(permit, found.layers)
            with progress.bar("running the program"), worker.run(job, ProgramResult) as finished:
                result = finished.result
                _write_array(permit.writer("output"), result, finished.memory)
            described = {"spacing_mm": result.spacing_mm, "provenance": made_by}
            permit.writer("provenance").write(json.dumps(described, indent=2).encode() + b"\n")
        return ProgramSummary(
            output=str(self.output),
            shape=result.shape,
            spacing_mm=result.spacing_mm,
            seconds=perf_counter() - began,
            provenance=made_by,
            notices={found.notice: 1} if found.notice else {},
        )

    def _worker(self, permit: "Permit", layers: Any) -> "Worker":
        """Return the worker that runs the program, with no more than it needs."""
        from biofm.core.hardware import count_cores
        from biofm.gate.confinement import Grant, Readable, Worker

        n_bytes = int(self.memory_limit_gb * 10**9)
        files = {
            role: Readable(descriptor=permit.reader(role).fileno(), path=permit.reader(role).name)
            for role in ("program", "input", "spacing")
        }
        grant = Grant(
            files=files,
            cpu_s=ceil(self.time_limit_s) * count_cores(),
            memory_bytes=n_bytes,
            file_bytes=n_bytes,
            array_bytes=n_bytes,
        )
        return Worker(
            module=WORKERS["run_program"],
            grant=grant,
            time_s=self.time_limit_s,
            name="the program",
            layers=layers,
            report=permit.note_worker,
        )


def _versions() -> Mapping[str, str]:
    from biofm.core.environment import __version__, torch_version

    return {"version": __version__, "torch_version": torch_version()}


def _write_array(writer: BinaryIO, result: ProgramResult, memory: BinaryIO) -> None:
    """Write a ``.npy`` file from the worker's description and its bytes, none of which is parsed.

    Raises:
        ProcessError: The worker describes more bytes than its memory has.
    """
    import numpy as np

    dtype = np.dtype(result.dtype)
    left = prod(result.shape) * dtype.itemsize
    if left > fstat(memory.fileno()).st_size:
        what = f"the program's process says that it returns {left:,} bytes, which it cannot"
        raise ProcessError(what, remedy="Do not trust the program")
    header = {"descr": dtype.str, "fortran_order": False, "shape": result.shape}
    np.lib.format.write_array_header_1_0(writer, header)
    while left:
        chunk = memory.read(min(left, CHUNK_BYTES))
        writer.write(chunk)
        left -= len(chunk)


run_program = verb(RunProgram)
