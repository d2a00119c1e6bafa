"""The repository as files, and a fresh interpreter to import it in."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = (ROOT, ROOT / "kernels", ROOT / "datasets")

Completed = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def tree() -> list[Path]:
    """Every file that belongs to the repository: what git tracks, and what it would track next."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("the files of the tree are known only in a git checkout")
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="session")
def python_run() -> Callable[..., Completed]:
    """Runs ``python ARGUMENTS`` afresh; its path holds the folders ``first``, then the source roots."""

    def run(*arguments: str, cwd: Path = ROOT, first: tuple[Path, ...] = ()) -> Completed:
        path = os.pathsep.join(str(folder) for folder in (*first, *SOURCE_ROOTS))
        environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run
