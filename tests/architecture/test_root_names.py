"""The source roots kernels/ and datasets/ hide nobody else's packages of those names."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

NAMES = ["datasets", "kernels"]


def found_package(name: str, python_run: Run, *, checkout: Path, installed: Path) -> Path:
    """The folder that ``import name`` finds from ``checkout``, where ``installed`` too has that package."""
    (installed / name).mkdir(parents=True)
    (installed / name / "__init__.py").touch()
    program = f"import sys; sys.path.append({str(installed)!r}); import {name}; print(*{name}.__path__)"
    result = python_run("-c", program, cwd=checkout)
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.strip())


@pytest.mark.parametrize("name", NAMES)
def test_an_installed_package_is_found_from_the_repository_root(
    name: str, python_run: Run, root: Path, tmp_path: Path
) -> None:
    assert found_package(name, python_run, checkout=root, installed=tmp_path) != root / name


@pytest.mark.parametrize("name", NAMES)
def test_it_would_be_hidden_by_a_package_at_the_root(name: str, python_run: Run, tmp_path: Path) -> None:
    ours = tmp_path / "checkout" / name
    ours.mkdir(parents=True)
    (ours / "__init__.py").touch()
    assert found_package(name, python_run, checkout=ours.parent, installed=tmp_path / "site") == ours


@pytest.mark.parametrize("name", NAMES)
def test_a_source_root_is_no_package_and_holds_no_module(name: str, root: Path) -> None:
    assert (root / name).is_dir()
    assert sorted(path.name for path in (root / name).glob("*.py")) == []
