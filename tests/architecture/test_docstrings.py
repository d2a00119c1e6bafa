"""Docstrings are sentences: the first has a verb, and what a room shows to others describes its parameters.

A function begins with what it does, in the imperative ("Return the rows that ..."). A module, a class or a
property says in its first sentence what it holds or does. What a face exports (an ``__init__.py``) describes
every parameter and every field: in a section ``Args:`` or ``Attributes:``, or below the field.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sentences import ACTIONS, first_sentence, has_verb

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (ROOT / "biofm", ROOT / "kernels", ROOT / "datasets" / "biofm_datasets")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def is_property(node: ast.AST) -> bool:
    """Return whether a function is read like an attribute."""
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(one).endswith(("property", ".setter")) for one in decorators)


def faults_of_sentence(node: ast.AST, docstring: str) -> Iterator[str]:
    """Yield what is wrong with the first sentence of a docstring."""
    sentence = first_sentence(docstring)
    if not sentence.endswith((".", "?", ":", "::")):
        yield f"the first sentence has no end: {sentence!r}"
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not is_property(node):
        if re.split(r"[^A-Za-z]", sentence, maxsplit=1)[0].lower() not in ACTIONS:
            yield f"a function says what it does, in the imperative: {sentence!r}"
    elif not has_verb(sentence):
        yield f"the first sentence has no verb: {sentence!r}"


def parameters_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Return the names of the parameters, without the object that a method belongs to."""
    given = node.args
    named = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
    return [one.arg for one in named if one.arg not in {"self", "cls"} and not one.arg.startswith("_")]


def described(docstring: str) -> set[str]:
    """Return the names that the sections ``Args:`` and ``Attributes:`` describe."""
    found: set[str] = set()
    for section in re.findall(
        r"^(?:Args|Attributes):\n((?:[ \t]+.*\n?|\n(?=[ \t]))+)", docstring, re.MULTILINE
    ):
        found |= {
            name.strip(" *")
            for names in re.findall(r"^ {4}([\w*, ]+):\s+\S", section, re.MULTILINE)
            for name in names.split(",")
        }
    return found


def fields_of(node: ast.ClassDef) -> list[str]:
    """Return the public fields of a class that no string below them describes."""
    names = []
    for line, after in zip(node.body, [*node.body[1:], None], strict=True):
        if not isinstance(line, ast.AnnAssign) or not isinstance(line.target, ast.Name):
            continue
        has_string = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        annotation = ast.unparse(line.annotation)
        if not has_string and "ClassVar" not in annotation and not line.target.id.startswith("_"):
            names.append(line.target.id)
    return names


def faults_of_parameters(node: Definition) -> Iterator[str]:
    """Yield the parameters and fields of an exported function or class that nothing describes."""
    docstring = ast.get_docstring(node) or ""
    if not isinstance(node, ast.ClassDef):
        missing = [name for name in parameters_of(node) if name not in described(docstring)]
        if missing and docstring:
            yield f"{node.name}: nothing describes {', '.join(missing)}"
        return
    if any("Verb[" in ast.unparse(base) for base in node.bases):
        return  # its fields are options, each with its help
    methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    here = described(docstring)
    fields = [] if any("Enum" in ast.unparse(base) for base in node.bases) else fields_of(node)
    for method in methods:
        if method.name == "__init__":
            fields += [
                one for one in parameters_of(method) if one not in described(ast.get_docstring(method) or "")
            ]
        elif not method.name.startswith("_") and not is_property(method):
            yield from (f"{node.name}.{fault}" for fault in faults_of_parameters(method))
    missing = [name for name in fields if name not in here]
    if missing:
        yield f"{node.name}: nothing describes {', '.join(missing)}"


def exported() -> dict[Path, set[str]]:
    """Return the names that faces export, by the file that defines them."""
    found: dict[Path, set[str]] = {}
    roots = {"biofm": ROOT, "biofm_kernels": ROOT / "kernels", "biofm_datasets": ROOT / "datasets"}
    for source in SOURCES:
        for face in source.rglob("__init__.py"):
            for line in ast.parse(face.read_text(encoding="utf-8")).body:
                if isinstance(line, ast.ImportFrom) and line.module and line.module.split(".")[0] in roots:
                    parts = line.module.split(".")
                    path = roots[parts[0]].joinpath(*parts).with_suffix(".py")
                    found.setdefault(path, set()).update(name.name for name in line.names)
    return found


EXPORTED = exported()


def faults_of(path: Path) -> list[str]:
    """Return what is wrong with the docstrings of a file, a line for each."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    faults = []
    for node in ast.walk(tree):
        if isinstance(node, Definition | ast.Module) and (docstring := ast.get_docstring(node)):
            line = getattr(node, "lineno", 1)
            faults += [
                f"{path.relative_to(ROOT)}:{line}: {fault}" for fault in faults_of_sentence(node, docstring)
            ]
    for node in tree.body:
        if isinstance(node, Definition) and node.name in EXPORTED.get(path, ()):
            faults += [
                f"{path.relative_to(ROOT)}:{node.lineno}: {fault}" for fault in faults_of_parameters(node)
            ]
    return faults


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_docstrings_are_sentences_that_describe_their_parameters(source: Path) -> None:
    assert [fault for path in sorted(source.rglob("*.py")) for fault in faults_of(path)] == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('def f():\n    """The maps of one batch."""', "imperative"),
        ('def f():\n    """How long a protein is."""', "imperative"),
        ('class A:\n    """Of the adapters."""', "no verb"),
        ('class A:\n    """A score and its seed."""', "no verb"),
        ('class A:\n    """Holds the score"""', "no end"),
    ],
)
def test_a_heading_is_no_sentence(source: str, fault: str) -> None:
    node = ast.parse(source).body[0]
    assert isinstance(node, Definition)
    assert [fault in found for found in faults_of_sentence(node, ast.get_docstring(node) or "")] == [True]


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Return the maps of one batch."""',
        'class A:\n    """Holds a score and its seed."""',
        'class A:\n    """Length limits: how many residues a model accepts."""',
        '@property\ndef f(self):\n    """Whether the run has ended."""',
    ],
)
def test_a_sentence_passes(source: str) -> None:
    node = ast.parse(source).body[0]
    assert isinstance(node, Definition)
    assert [*faults_of_sentence(node, ast.get_docstring(node) or "")] == []


def test_what_nothing_describes_is_named() -> None:
    source = '''
class A(NamedTuple):
    """Holds a size.

    Attributes:
        width: The size in tokens.
    """

    width: int
    height: int

    def draw(self, ink: str, paper: str) -> None:
        """Draw it.

        Args:
            ink: Its colour.
        """
'''
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.ClassDef)
    assert [*faults_of_parameters(node)] == ["A.draw: nothing describes paper", "A: nothing describes height"]
