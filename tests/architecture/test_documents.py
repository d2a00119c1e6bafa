"""JSON and TOML of files are read in one place: Python's own parsers fail on nested ones by a traceback."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PARSERS = {"json.load", "json.loads", "tomllib.load", "tomllib.loads"}
THE_PLACE = "datasets/biofm_datasets/documents.py"
OWN = {
    "biofm/core/environment.py",  # It reads the pyproject.toml of this checkout, and nobody else's.
    "biofm/gate/confinement/bootstrap.py",  # It reads what its parent wrote, before it can find a package.
}


def parsing_calls(source: str) -> Iterator[str]:
    """Yield the calls of such a parser, except those that read the result of ``json.dumps`` at once."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or (name := ast.unparse(node.func)) not in PARSERS:
            continue
        if not ast.unparse(node.args[0]).startswith("json.dumps("):
            yield name


def test_files_of_settings_are_read_in_one_place(root: Path) -> None:
    found = {}
    for folder in ("biofm", "datasets/biofm_datasets"):
        for path in (root / folder).rglob("*.py"):
            name = path.relative_to(root).as_posix()
            if name != THE_PLACE and name not in OWN and (calls := set(parsing_calls(path.read_text()))):
                found[name] = calls
    assert found == {}


@pytest.mark.parametrize(
    ("line", "n_found"),
    [("json.loads(text)", 1), ("tomllib.load(file)", 1), ("json.loads(json.dumps(a))", 0)],
)
def test_a_parser_of_a_file_is_found(line: str, n_found: int) -> None:
    assert len(list(parsing_calls(line))) == n_found
