"""What biofm promises by name."""

import ast
import importlib
from pathlib import Path

import pytest

import biofm

ROOT = Path(__file__).resolve().parents[2]
SOURCE_ROOTS = {"biofm": ROOT, "biofm_kernels": ROOT / "kernels", "biofm_datasets": ROOT / "datasets"}


def packages() -> list[str]:
    """Every package that has something in its ``__init__.py``."""
    return [
        ".".join(path.parent.relative_to(folder).parts)
        for name, folder in SOURCE_ROOTS.items()
        for path in sorted((folder / name).rglob("__init__.py"))
        if path.read_text(encoding="utf-8").strip()
    ]


def names_for_type_checkers(source: str) -> dict[str, str]:
    """Name -> module of what stands under ``if TYPE_CHECKING:``."""
    return {
        alias.asname or alias.name: statement.module or ""
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


@pytest.mark.parametrize("package", packages())
def test_a_package_states_its_public_names_sorted(package: str) -> None:
    names = importlib.import_module(package).__all__
    assert list(names) == sorted(set(names), key=constants_then_classes_then_functions)


def constants_then_classes_then_functions(name: str) -> tuple[int, str]:
    """The order of isort, which ruff applies too (RUF022)."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


def test_the_order_of_public_names_is_that_of_ruff() -> None:
    names = ["load", "Encoder", "MODELS", "ESM_2", "Adam", "attention"]
    ordered = ["ESM_2", "MODELS", "Adam", "Encoder", "attention", "load"]
    assert sorted(names, key=constants_then_classes_then_functions) == ordered


@pytest.mark.parametrize("package", packages())
def test_every_public_name_exists(package: str) -> None:
    module = importlib.import_module(package)
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []


@pytest.mark.parametrize("package", [name for name in packages() if name != "biofm"])
def test_a_package_only_re_exports(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__file__ is not None
    body = ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body
    others = [ast.unparse(node) for node in body if not is_re_export(node)]
    assert others == []


def is_re_export(node: ast.stmt) -> bool:
    is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    return is_docstring or is_all or isinstance(node, ast.Import | ast.ImportFrom)


def test_type_checkers_see_the_names_that_biofm_fetches_when_asked() -> None:
    source = (ROOT / "biofm" / "__init__.py").read_text(encoding="utf-8")
    assert names_for_type_checkers(source) == biofm._HOMES
    assert sorted(biofm._HOMES) == biofm.__all__


def test_no_public_name_of_biofm_is_also_a_room() -> None:
    """Importing ``biofm.models`` sets the attribute ``models`` of biofm, which would then be that module."""
    rooms = {path.stem for path in (ROOT / "biofm").iterdir()}
    assert rooms & set(biofm.__all__) == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'biofm' has no attribute 'embedd'"):
        biofm.embedd  # type: ignore[attr-defined]  # noqa: B018


def test_dir_lists_the_public_names() -> None:
    assert set(biofm.__all__) <= set(dir(biofm))
