"""The model says which modality runs: nothing but a modality's own module and its families names one."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from biofm.models import families

MAY_NAME_ONE = ("biofm/modalities/", "biofm/models/")
NAMES = {"PROTEIN", "ProteinTokenizer", "clean_protein", "ESM_ALPHABET", "ESMC_ALPHABET", "STANDARD_RESIDUES"}


def names_of_one(source: str) -> Iterator[str]:
    """Where a module names the modality of proteins, or compares with the name of any."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            yield from (it.name for it in node.names if it.name in NAMES)
            if (node.module or "").startswith("biofm.modalities.protein"):
                yield node.module or ""
        if isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield ast.unparse(node)
        if isinstance(node, ast.Compare):
            words = {it.value for it in ast.walk(node) if isinstance(it, ast.Constant)}
            if words & set(families.modalities()):
                yield ast.unparse(node)


def test_no_other_code_names_a_modality(root: Path) -> None:
    paths = {path.relative_to(root).as_posix(): path for path in (root / "biofm").rglob("*.py")}
    others = {name: path for name, path in paths.items() if not name.startswith(MAY_NAME_ONE)}
    found = {name: list(names_of_one(path.read_text(encoding="utf-8"))) for name, path in others.items()}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from biofm.modalities import PROTEIN", "from biofm_datasets import clean_protein",
        "from biofm.modalities.protein import refuse_other", "found = modalities.PROTEIN",
        "if modality.name == 'protein': pass", "if name in ('protein', 'dna'): pass",
    ],
)  # fmt: skip
def test_code_that_names_one_is_found(line: str) -> None:
    assert list(names_of_one(line))
