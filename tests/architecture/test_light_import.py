"""``import biofm`` and ``biofm --help`` answer at once, because they load nothing heavy."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = {
    "Bio", "anndata", "h5py", "huggingface_hub", "lightning", "matplotlib", "pandas", "peft",
    "pyarrow", "safetensors", "scipy", "sklearn", "torch", "transformers",
}  # fmt: skip
HELP = """
import sys
sys.argv = ["biofm", *{words}]
try:
    from biofm.cli import main
    main()
except SystemExit:
    pass
"""
REPORT = """
import json, sys
print()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def packages_loaded_by(statement: str, python_run: Run, *folders: Path) -> set[str]:
    """The packages that a fresh interpreter has loaded once it has run the statement, and not before."""
    bare, loaded = (
        set(json.loads(run_and_check(python_run, program, folders).splitlines()[-1]))
        for program in (REPORT, statement + REPORT)
    )
    return loaded - bare


def run_and_check(python_run: Run, program: str, folders: tuple[Path, ...]) -> str:
    result = python_run("-c", program, first=folders)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_importing_biofm_loads_nothing_but_biofm_and_the_standard_library(python_run: Run) -> None:
    loaded = packages_loaded_by("import biofm", python_run)
    assert loaded - set(sys.stdlib_module_names) == {"biofm"}


@pytest.mark.parametrize("module", ["biofm.cli", "biofm.core", "biofm.policy", "biofm.gate"])
def test_importing_a_light_room_loads_nothing_heavy(module: str, python_run: Run) -> None:
    assert packages_loaded_by(f"import {module}", python_run) & HEAVY == set()


def test_importing_the_gate_loads_no_package_that_reads_files(python_run: Run) -> None:
    """A worker imports the gate before the kernel confines it."""
    loaded = packages_loaded_by("import biofm.gate.confinement.inside", python_run)
    assert loaded & (HEAVY | {"numpy", "pydicom", "rich"}) == set()


def test_importing_the_declaration_of_any_verb_loads_nothing_that_runs_it(
    python_run: Run, root: Path
) -> None:
    """Whoever wants to know what a verb is, such as the command line, does not wait for what runs it."""
    modules = [
        f"biofm.api.{path.stem}"
        for path in sorted((root / "biofm" / "api").glob("*.py"))
        if re.search(r"^class \w+\(Verb\[", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert "biofm.api.embed" in modules
    statement = "".join(f"import {module}\n" for module in modules)
    assert packages_loaded_by(statement, python_run) & (HEAVY | {"numpy", "rich"}) == set()


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["embed", "--help"],
        ["models", "--help"],
        ["pretrain", "--help"],
        ["finetune", "--help"],
        ["predict", "--help"],
        ["data", "prepare", "--help"],
    ],
)
def test_asking_for_help_loads_nothing_heavy(words: list[str], python_run: Run) -> None:
    assert packages_loaded_by(HELP.format(words=words), python_run) & HEAVY == set()


def test_a_module_that_imports_a_heavy_package_is_caught(python_run: Run, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("weight = 1", encoding="utf-8")
    (tmp_path / "hasty.py").write_text("import torch", encoding="utf-8")
    assert packages_loaded_by("import hasty", python_run, tmp_path) & HEAVY == {"torch"}


def test_help_is_really_printed(python_run: Run) -> None:
    result = python_run("-c", HELP.format(words=["--help"]))
    assert "embed" in result.stdout, result.stderr
