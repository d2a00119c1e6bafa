"""biofm on every Python that it names, with the pinned, the newest and the oldest packages that it allows.

For each cell a fresh environment, removed after. With what biofm alone needs, `import biofm`, `biofm --help`
and `biofm embed` of the example proteins; then, with the packages of the tests, which raise some of the
oldest, the quick tests without the interpreted kernels. It takes some ten minutes a cell on two cores, and up
to 7 GB of disk and of downloads, since torch from PyPI is a build for CUDA: UV_FIND_LINKS may name a folder
with a smaller one, and UV_CACHE_DIR keeps what was downloaded. It needs `uv`, and interpreters that
`uv python find` knows or PYTHON311, PYTHON312 and PYTHON313 name.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "biofm" / "examples" / "proteins.fasta"
PYTHONS = ("3.11", "3.12", "3.13")

# How uv chooses versions. The oldest are wheels alone: old sources seldom build with today's compilers.
RESOLUTIONS = {
    "pinned": ("--constraint", str(ROOT / "constraints.txt")),
    "newest": (),
    "oldest": ("--resolution", "lowest-direct", "--only-binary", ":all:"),
}
SHOWN = (
    "torch", "numpy", "scipy", "pandas", "pyarrow", "h5py", "anndata", "scikit_learn", "lightning",
    "jaxtyping", "huggingface_hub", "safetensors", "typer", "transformers", "peft",
)  # fmt: skip
QUICK_TESTS = (
    "-m", "not slow", "-n", "2", "--ignore", "tests/kernels/test_interpreter.py",
    "--ignore", "tests/kernels/interpreted", "-p", "no:cacheprovider", "-q",
)  # fmt: skip
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
FORGOTTEN = ("PYTHONPATH", "VIRTUAL_ENV")  # variables that would lead out of the environment
N_LINES_SHOWN = 40  # of what a failed command said


class CellError(Exception):
    """A command of a cell did not end well."""


class Counts(NamedTuple):
    """Of a cell's tests."""

    passed: int
    failed: int
    skipped: int
    faults: tuple[str, ...]  # the names of those that failed


@dataclass(frozen=True, slots=True)
class Environment:
    """A fresh virtual environment, and a folder beside it to work in."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "venv" / "bin"

    def run(self, *command: str | Path, cwd: Path | None = None, check: bool = True) -> str:
        """What the command says. Raises CellError, with its last lines, where it does not end well."""
        names = {name: value for name, value in os.environ.items() if name not in FORGOTTEN}
        names |= THREADS
        names["PATH"] = f"{self.bin}{os.pathsep}{names['PATH']}"
        names["XDG_STATE_HOME"] = str(self.folder / "state")
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd or self.folder,
            env=names,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            lines = done.stdout.splitlines()[-N_LINES_SHOWN:]
            raise CellError(
                "\n".join([f"{' '.join(map(str, command))}: exit code {done.returncode}", *lines])
            )
        return done.stdout


def find_uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    if found := shutil.which("uv") or (str(beside) if beside.is_file() else None):
        return found
    sys.exit("uv is not installed here: pip install uv")


def find_python(uv: str, version: str) -> str:
    """The interpreter of a version. Raises CellError where there is none."""
    if named := os.environ.get(f"PYTHON{version.replace('.', '')}"):
        return named
    command = [uv, "python", "find", "--no-python-downloads", "--no-project", version]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        variable = f"PYTHON{version.replace('.', '')}"
        raise CellError(f"there is no Python {version} here; say {variable}=/path/to/python")
    return found.stdout.strip()


def install(environment: Environment, uv: str, python: str, resolution: str) -> None:
    """biofm and what it needs, as users have it."""
    environment.run(uv, "venv", "--python", python, "venv")
    add_packages(environment, uv, resolution)
    environment.run(uv, "pip", "install", "--python", environment.bin / "python", "--no-deps", ROOT)


def add_packages(environment: Environment, uv: str, resolution: str, *extra: str) -> None:
    extras = [word for name in extra for word in ("--extra", name)]
    where = ("--python", str(environment.bin / "python"))
    choice = (*RESOLUTIONS[resolution], "-r", str(ROOT / "pyproject.toml"), *extras)
    environment.run(uv, "pip", "install", *where, *choice)


def installed(environment: Environment, uv: str) -> Mapping[str, str]:
    """The versions by package."""
    command = (uv, "pip", "list", "--quiet", "--python", environment.bin / "python", "--format", "json")
    listed = json.loads(environment.run(*command))
    return {package["name"].replace("-", "_"): package["version"] for package in listed}


def start(environment: Environment) -> None:
    """The main job, from a folder that is not the checkout's. Raises CellError."""
    environment.run(environment.bin / "python", "-c", "import biofm; biofm.load")
    environment.run(environment.bin / "biofm", "--help")
    environment.run(environment.bin / "biofm", "embed", EXAMPLE, "--output", "proteins.h5ad")


def run_tests(environment: Environment, chosen: list[str]) -> Counts:
    """The quick tests, from the checkout. Raises CellError where pytest itself did not run them."""
    report = environment.folder / "tests.xml"
    pytest = (environment.bin / "python", "-m", "pytest", "--junitxml", report)
    said = environment.run(*pytest, *QUICK_TESTS, *chosen, cwd=ROOT, check=False)
    if not report.is_file():
        raise CellError("\n".join(["pytest wrote no report", *said.splitlines()[-N_LINES_SHOWN:]]))
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    n_skipped = sum(case.find("skipped") is not None for case in cases)
    names = tuple(f"{case.get('classname')}::{case.get('name')}" for case in failed)
    if failed:
        print(said, file=sys.stderr)
    return Counts(len(cases) - len(failed) - n_skipped, len(failed), n_skipped, names)


def run_cell(uv: str, version: str, resolution: str, chosen: list[str], starts_only: bool) -> bool:
    """One row of the table; whether the claim holds there."""
    began = time.monotonic()
    versions: Mapping[str, str] = {}
    counts = Counts(0, 0, 0, ())
    fault = ""
    with TemporaryDirectory(prefix="biofm-versions-") as folder:
        environment = Environment(Path(folder))
        try:
            install(environment, uv, find_python(uv, version), resolution)
            versions = installed(environment, uv)
            start(environment)
            if not starts_only:
                add_packages(environment, uv, resolution, "dev")
                versions = installed(environment, uv)
                counts = run_tests(environment, chosen)
        except CellError as error:
            fault = str(error)
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if name in versions)
    tests = "starts" if starts_only else f"{counts.passed} | {counts.failed} | {counts.skipped}"
    minutes = (time.monotonic() - began) / 60
    print(f"| {version} | {resolution} | {'does not start' if fault else tests} | {minutes:.0f} | {shown} |")
    print(*counts.faults, fault, sep="\n", end="\n" if fault else "", flush=True)
    return not fault and not counts.failed


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", action="append", choices=PYTHONS, help="this one alone, or these")
    parser.add_argument("--packages", action="append", choices=RESOLUTIONS, help="these alone")
    parser.add_argument("--start", action="store_true", help="install and start biofm, and run no tests")
    parser.add_argument("tests", nargs="*", help="these tests alone")
    options = parser.parse_args()
    uv = find_uv()
    tests = "result" if options.start else "passed | failed | skipped"
    print(f"| Python | packages | {tests} | minutes | which gave |")
    print("|---" * (5 if options.start else 7) + "|", flush=True)
    cells = [
        run_cell(uv, version, resolution, options.tests, options.start)
        for resolution in options.packages or RESOLUTIONS
        for version in options.python or PYTHONS
    ]
    print(f"{sum(cells)} of {len(cells)} environments hold the claim")
    return 0 if all(cells) else 1


if __name__ == "__main__":
    sys.exit(main())
