"""Imports go down only, and a costly package stays in its room: the contracts of pyproject.toml."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract["name"] for contract in SETTINGS["contracts"]}
FLOORS = next(contract["layers"] for contract in SETTINGS["contracts"] if contract["id"] == "floors")
ROOMS = [room.strip(" ()") for floor in FLOORS for room in floor.split("|")]

# Of each contract at least one violation: the contract, the module that breaks it and the line that does.
VIOLATIONS = [
    ("floors", "biofm.core", "import biofm.nn"),
    ("floors", "biofm.inference", "import biofm.report"),
    ("floors", "biofm_kernels", "import biofm_datasets"),
    ("roots", "biofm_datasets", "import biofm"),
    ("typer", "biofm.api", "import typer"),
    ("lightning", "biofm.models", "from lightning import Trainer"),
    ("matplotlib", "biofm.training", "import matplotlib.pyplot"),
    ("peft", "biofm.evaluation", "import peft"),
    ("triton", "biofm.nn", "import triton"),
    ("esm", "biofm.models", "from esm.models import esmc"),
    ("torch", "biofm.gate", "def later():\n    import torch"),
    ("torch", "biofm.policy", "import socket"),
]

# What a low room may import at module level; the rest only inside a function, where it is needed.
AT_IMPORT = {"core": {"numpy"}, "policy": {"yaml"}, "gate": set()}


def lint(python_run: Run, *folders: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", "--no-logo"]
    return python_run("-c", program, *config, cwd=cwd, first=folders)


def write_rooms(folder: Path) -> None:
    """A tree that has every room and no import."""
    for room in ["biofm", *ROOMS]:
        package = folder.joinpath(*room.split("."))
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()


def imports_at_module_level(source: str) -> set[str]:
    """The packages that a module imports as it is imported itself, also under ``if`` and ``try``."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        if not is_run_later(node):
            pending.extend(ast.iter_child_nodes(node))
    return found


def is_run_later(node: ast.AST) -> bool:
    """Whether the node's inside is not run at import: a function's body, or what type checkers alone read."""
    is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return is_for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def test_imports_keep_every_contract(python_run: Run) -> None:
    result = lint(python_run, cwd=ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in CONTRACTS.values():
        assert f"{name} KEPT" in result.stdout


def test_a_tree_without_imports_keeps_every_contract(python_run: Run, tmp_path: Path) -> None:
    write_rooms(tmp_path)
    result = lint(python_run, tmp_path, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("contract", "module", "line"), VIOLATIONS)
def test_a_violation_breaks_its_contract_alone(
    contract: str, module: str, line: str, python_run: Run, tmp_path: Path
) -> None:
    write_rooms(tmp_path)
    (tmp_path.joinpath(*module.split(".")) / "__init__.py").write_text(line + "\n", encoding="utf-8")
    result = lint(python_run, tmp_path, cwd=tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [name for name in CONTRACTS.values() if f"{name} BROKEN" in result.stdout]
    assert broken == [CONTRACTS[contract]]


def test_every_contract_has_a_violation_here() -> None:
    assert {contract for contract, _, _ in VIOLATIONS} == set(CONTRACTS)


def test_every_room_of_biofm_has_a_floor() -> None:
    built = {f"biofm.{path.stem}" for path in (ROOT / "biofm").iterdir() if is_room(path)}
    assert built - set(ROOMS) == set(), "give the new room a floor in pyproject.toml"


def is_room(path: Path) -> bool:
    return (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__")


@pytest.mark.parametrize("room", AT_IMPORT)
def test_a_low_room_imports_only_what_it_may_at_module_level(room: str) -> None:
    allowed = {"biofm", "biofm_datasets", "biofm_kernels"} | AT_IMPORT[room] | set(sys.stdlib_module_names)
    modules = sorted((ROOT / "biofm" / room).rglob("*.py"))
    assert modules, f"biofm.{room} has no modules"
    for module in modules:
        surplus = imports_at_module_level(module.read_text(encoding="utf-8")) - allowed
        assert not surplus, f"{module.relative_to(ROOT)} imports {sorted(surplus)} at module level"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch.nn", {"torch"}),
        ("try:\n    from h5py import File\nexcept ImportError:\n    File = None", {"h5py"}),
        ("class Store:\n    import zarr", {"zarr"}),
        ("def write():\n    import pyarrow", set()),
        ("if TYPE_CHECKING:\n    from torch import Tensor", set()),
    ],
)
def test_imports_at_module_level_are_told_from_later_ones(source: str, expected: set[str]) -> None:
    assert imports_at_module_level(source) == expected
