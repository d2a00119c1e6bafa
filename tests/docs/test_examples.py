"""Every example in README.md, CONTRIBUTING.md and docs/ runs.

A page's blocks run from top to bottom in one folder, which holds ``biofm/examples`` as a checkout does, as
for a reader who follows along. Blocks of ``python`` share their names. Of ``bash`` and ``console`` blocks
the commands ``biofm`` and ``cp`` are run, and a ``make`` command must name a target. A block that cannot run
stands below ``<!-- not run: reason -->``.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path("biofm/examples")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
PAGES_HERE = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if page.is_file()]

NOTE = r"^<!-- not run:(?P<reason>.*?)-->$"
BLOCK = re.compile(
    rf"(?:{NOTE}\n+)?^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
SHELLS = {"bash", "console"}
PROGRAMS = {"biofm", "cp"}
TEXTS = {"csv", "json", "makefile", "text", "toml", "yaml"}  # shown, not run


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block whose code begins at ``line``; ``reason`` says why it is not run, None where it is."""

    language: str
    code: str
    line: int
    reason: str | None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            language=match["language"].strip(),
            code=re.sub(f"^{match['indent']}", "", match["code"], flags=re.MULTILINE),
            line=text.count("\n", 0, match.start("code")) + 1,
            reason=None if match["reason"] is None else match["reason"].strip(),
        )
        for match in BLOCK.finditer(text)
    ]


def commands_of(block: Block) -> Iterator[str]:
    """A block's commands: every line of ``bash``; of ``console`` those after ``$``, the rest is output."""
    for line in block.code.replace("\\\n", " ").splitlines():
        if block.language == "bash" and line.strip() and not line.startswith("#"):
            yield line.strip()
        elif block.language == "console" and line.startswith("$ "):
            yield line.removeprefix("$ ").strip()


def run_page(page: Path, folder: Path) -> None:
    """Run the page's blocks in ``folder``; an example that fails raises."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.reason is not None:
            continue
        if block.language == "python":
            code = "\n" * (block.line - 1) + block.code  # so that a traceback shows the page's own line
            exec(compile(code, str(page), "exec"), names)
        elif block.language in SHELLS:
            for command in commands_of(block):
                run_command(command, folder, where=f"{page.name}, block at line {block.line}")


def run_command(command: str, folder: Path, where: str) -> None:
    program, *words = shlex.split(command, comments=True)
    if program == "make":
        unknown = {word for word in words if "=" not in word} - make_targets()
        assert not unknown, f"{where}: `{command}`: the Makefile has no target {sorted(unknown)}"
        return
    assert program in PROGRAMS, (
        f"{where}: `{command}` is no command of biofm or cp: say <!-- not run: reason --> above it"
    )
    environment = os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    shell = ["bash", "-euo", "pipefail", "-c", command]
    result = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{where}: `{command}` failed:\n{result.stdout}{result.stderr}"


def make_targets() -> set[str]:
    return set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader stands: above ``biofm/examples``, with this checkout's ``biofm`` on the path."""
    command = tmp_path / "bin" / "biofm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/cli.py" "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    if (ROOT / EXAMPLES).is_dir():
        shutil.copytree(ROOT / EXAMPLES, tmp_path / EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES_HERE)
def test_the_examples_of_a_page_run(page: Path, reader: Path) -> None:
    run_page(page, reader)


@pytest.mark.parametrize("page", PAGES_HERE)
def test_every_block_names_a_language_that_is_known_here(page: Path) -> None:
    """A block of ``py`` or of no language would never be run, and nobody would notice."""
    known = {"python"} | SHELLS | TEXTS
    assert {block.line: block.language for block in blocks_of(page) if block.language not in known} == {}


@pytest.mark.parametrize("page", PAGES_HERE)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    left_out = [block for block in blocks_of(page) if block.reason is not None]
    print(f"{page.name}: {len(left_out)} blocks are not run")
    for block in left_out:
        print(f"  line {block.line}: {block.reason}")
    assert all(block.reason for block in left_out)
    assert len(left_out) == len(re.findall(NOTE, page.read_text(encoding="utf-8"), flags=re.MULTILINE)), (
        "a note without its block"
    )


@pytest.mark.parametrize("page", PAGES_HERE)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def write_page(folder: Path, *lines: str) -> Path:
    page = folder / "page.md"
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return page


def test_a_failing_python_block_is_reported_at_its_line(reader: Path) -> None:
    page = write_page(reader, "Text.", "```python", "a = 1", "```", "", "```python", "assert a == 2", "```")
    with pytest.raises(AssertionError) as failure:
        run_page(page, reader)
    assert failure.traceback[-1].lineno + 1 == 7


def test_a_command_that_biofm_refuses_is_reported(reader: Path) -> None:
    page = write_page(reader, "```console", "$ biofm no-such-verb", "```")
    with pytest.raises(AssertionError, match=r"page.md, block at line 2: `biofm no-such-verb` failed"):
        run_page(page, reader)


@pytest.mark.parametrize("command", ["pip install biofm", "make no-such-target"])
def test_a_command_that_cannot_be_checked_is_reported(command: str, reader: Path) -> None:
    page = write_page(reader, "```bash", "# first", "make test PYTHON=python3.12", command, "```")
    with pytest.raises(AssertionError, match=re.escape(f"`{command}`")):
        run_page(page, reader)


def test_a_block_with_a_note_is_not_run(reader: Path) -> None:
    page = write_page(reader, "<!-- not run: it would fail -->", "", "```python", "raise ValueError", "```")
    run_page(page, reader)
    assert [block.reason for block in blocks_of(page)] == ["it would fail"]


def test_an_indented_block_is_run_without_its_indent(reader: Path) -> None:
    page = write_page(reader, "1. So:", "", "   ```python", "   if True:", "       b = 1", "   ```")
    run_page(page, reader)
    assert [block.code for block in blocks_of(page)] == ["if True:\n    b = 1\n"]


def test_the_output_in_a_console_block_is_no_command() -> None:
    block = Block("console", "$ biofm embed a.fasta \\\n    --model m\n12 proteins\n", line=1, reason=None)
    assert list(commands_of(block)) == ["biofm embed a.fasta      --model m"]
