"""The tree as a stranger clones it: no path of one machine, no notes to self, small files and functions,
pages whose lines fit into a diff.
"""

import ast
import re
from pathlib import Path

import pytest

MAX_FILE_LINES = 400  # the aim is under 300, as CONTRIBUTING.md says
MAX_BODY_LINES = 50  # of a function, its signature and docstring not counted; the aim is under 30
MAX_PROSE_WIDTH = 120  # of a page, so that a diff shows which words changed
MAX_FILE_BYTES = 6_000_000  # the bundled model is the largest thing that we ship

# Each character class keeps the pattern from matching its own text in this file.
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/[\w.]|\b[s]hared/(?:data|design|reference)")
NOTE_TO_SELF = re.compile(r"\b(?:[T]ODO|[F]IXME)\b")
NAMES_THE_DATA = Path(".ci/run")  # the one file that may say where real data lies beside a checkout
NAMED_FILE = re.compile(r"`((?:biofm|kernels|datasets|tests|docs)/[\w./-]+\.\w+)`")
PAGES_OF_THE_PAST = ("CHANGELOG.md", "docs/log.md", "docs/measurements/")
NOT_WRAPPED = ("docs/log.md", "docs/measurements/")  # their entries are written once


def text_of(path: Path) -> str:
    """The file's text; empty for a file that is not text."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", errors="replace")


def lines_that_match(pattern: re.Pattern[str], path: Path) -> list[str]:
    lines = enumerate(text_of(path).splitlines(), start=1)
    return [f"{path}:{number}: {line.strip()}" for number, line in lines if pattern.search(line)]


def long_functions(source: str, limit: int) -> list[str]:
    nodes = ast.walk(ast.parse(source))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in functions if n_body_lines(node) > limit]


def n_body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    statements = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - statements[0].lineno + 1 if statements else 0


def long_lines(text: str) -> list[str]:
    """The lines of a page that are too long, without blocks, tables, and lines that cannot be broken."""
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    breakable = re.sub(r"!\[[^\]]*\]\([^)]*\)|`[^`\n]*`", lambda whole: whole[0].replace(" ", "_"), prose)
    lines = [
        line for line in breakable.splitlines() if len(line) > MAX_PROSE_WIDTH and line.lstrip()[:1] != "|"
    ]
    return [line for line in lines if " " in line.lstrip("-*#> ")]


def python_files(tree: list[Path]) -> list[Path]:
    return [path for path in tree if path.suffix == ".py"]


def test_no_file_names_a_path_of_one_machine(tree: list[Path], root: Path) -> None:
    paths = [path for path in tree if path.relative_to(root) != NAMES_THE_DATA]
    assert [hit for path in paths for hit in lines_that_match(MACHINE_PATH, path)] == []


def test_no_file_keeps_a_note_to_self(tree: list[Path]) -> None:
    assert [hit for path in tree for hit in lines_that_match(NOTE_TO_SELF, path)] == []


def test_no_python_file_is_long(tree: list[Path]) -> None:
    sizes = {str(path): len(text_of(path).splitlines()) for path in python_files(tree)}
    assert {path: size for path, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_no_function_is_long(tree: list[Path]) -> None:
    found = {str(path): long_functions(text_of(path), MAX_BODY_LINES) for path in python_files(tree)}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_prose_of_pages_is_wrapped(tree: list[Path], root: Path) -> None:
    pages = [path for path in tree if path.suffix == ".md"]
    now = [path for path in pages if not path.relative_to(root).as_posix().startswith(NOT_WRAPPED)]
    found = {str(path): long_lines(text_of(path)) for path in now}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_long_line_of_prose_is_noticed() -> None:
    long = "word " * 30
    assert long_lines(f"short\n{long}\n| {long} |\n```text\n{long}\n```\n![{long}](a.png)\n") == [long]


def test_no_file_is_heavy(tree: list[Path]) -> None:
    assert [str(path) for path in tree if path.stat().st_size > MAX_FILE_BYTES] == []


@pytest.mark.parametrize("template", ["see /{}/main/x", "open('/{}/ada/x')", "(/{}/.cache/x)"])
@pytest.mark.parametrize("folder", ["work", "root", "home", "Users"])
def test_a_machine_path_is_noticed(template: str, folder: str, tmp_path: Path) -> None:
    line = template.format(folder)
    (tmp_path / "a.md").write_text(f"fine\n{line}\n", encoding="utf-8")
    assert lines_that_match(MACHINE_PATH, tmp_path / "a.md") == [f"{tmp_path}/a.md:2: {line}"]


@pytest.mark.parametrize("line", ["the team's network/homework/x", "framework/work", "a shared database"])
def test_ordinary_words_are_no_machine_path(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(line, encoding="utf-8")
    assert lines_that_match(MACHINE_PATH, tmp_path / "a.md") == []


def test_a_note_to_self_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("# TO" + "DO: later", encoding="utf-8")
    assert len(lines_that_match(NOTE_TO_SELF, tmp_path / "a.py")) == 1


def test_a_long_function_is_noticed() -> None:
    text = '    """' + "Said at length.\n" * 20 + '"""\n'
    source = f"def short():\n{text}    pass\n\nclass A:\n    def long(self):\n" + "        pass\n" * 10
    assert long_functions(source, limit=9) == ["long"]
    assert long_functions(source, limit=10) == []


def test_every_file_that_a_page_names_is_there(tree: list[Path], root: Path) -> None:
    pages = [path for path in tree if path.suffix == ".md"]
    now = [path for path in pages if not path.relative_to(root).as_posix().startswith(PAGES_OF_THE_PAST)]
    named = {(path.name, name) for path in now for name in NAMED_FILE.findall(text_of(path))}
    assert len(named) > 40, "the roads alone name as many"
    assert {(page, name) for page, name in named if not (root / name).exists()} == set()
