"""What an install of biofm gives: three packages, the bundled model, the examples, and nothing else."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.slow

PACKAGES = {"biofm", "biofm_datasets", "biofm_kernels"}


@pytest.fixture(scope="module")
def names_in_wheel(
    python_run: Run, tree: list[Path], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> set[str]:
    """The files of a wheel built from a clean copy, so that no older build can lend it files."""
    clone = tmp_path_factory.mktemp("clone")
    for path in tree:
        copy = clone / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    result = python_run("-m", "build", "--no-isolation", "--wheel", "--outdir", "dist", cwd=clone)
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,) = (clone / "dist").glob("*.whl")
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def test_the_top_level_is_three_packages(names_in_wheel: set[str]) -> None:
    top_level = {name.partition("/")[0] for name in names_in_wheel}
    assert {name for name in top_level if not name.endswith(".dist-info")} == PACKAGES


def test_every_package_says_that_it_is_typed(names_in_wheel: set[str]) -> None:
    assert {f"{package}/py.typed" for package in PACKAGES} <= names_in_wheel


def test_every_file_of_the_packages_is_in_the_wheel(
    names_in_wheel: set[str], tree: list[Path], root: Path
) -> None:
    """Modules, the bundled model's weights, configuration and card, and the examples."""
    sources = {"biofm": root, "biofm_kernels": root / "kernels", "biofm_datasets": root / "datasets"}
    expected = {
        path.relative_to(folder).as_posix()
        for package, folder in sources.items()
        for path in tree
        if (folder / package) in path.parents and (path.suffix != ".md" or "bundled" in path.parts)
    }
    assert expected - names_in_wheel == set()


def test_the_licence_and_the_command_come_along(names_in_wheel: set[str]) -> None:
    ends = {name.partition(".dist-info/")[2] for name in names_in_wheel}
    assert {"licenses/LICENSE", "entry_points.txt"} <= ends
