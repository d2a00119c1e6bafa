"""A checkout works without an install."""

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import biofm

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_the_command_line_runs_from_anywhere(python_run: Run, root: Path, tmp_path: Path) -> None:
    """``-I`` hides PYTHONPATH, so the shim alone finds the source roots."""
    result = python_run("-I", str(root / "cli.py"), "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "embed" in result.stdout


def test_the_shim_runs_the_checkout_and_not_an_installed_biofm(
    python_run: Run, root: Path, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    (checkout / "biofm" / "cli").mkdir(parents=True)
    (checkout / "biofm" / "__init__.py").touch()
    (checkout / "biofm" / "cli" / "__init__.py").write_text("def main(): print('this one')", encoding="utf-8")
    (checkout / "biofm" / "__main__.py").write_bytes((root / "biofm" / "__main__.py").read_bytes())
    (checkout / "cli.py").write_bytes((root / "cli.py").read_bytes())
    assert python_run(str(checkout / "cli.py"), cwd=tmp_path).stdout == "this one\n"


def test_the_version_is_that_of_the_project_file(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert biofm.__version__ == project["version"]
