"""Runs the examples of a page in a folder, and compares what they print and write with what the page says."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from difflib import get_close_matches
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from docs.notebooks import SHELLS, TUTORIALS, Block, blocks_of, commands_of

ROOT = Path(__file__).resolve().parents[2]
FIRST_PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *TUTORIALS]
EXAMPLES = Path("biofm/examples")
PICTURES = ROOT / "docs" / "pictures"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
SLOW_PAGES = {
    "docs/how-to/large-files.md",
    *(f"docs/tutorials/{it}.md" for it in ("finetune", "pretrain", "score")),
}
"""The pages whose examples take longer than all others do: the tests that run them are slow ones."""
PAGES_HERE = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if page.is_file()]

LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
PICTURE = re.compile(r"!\[[^\]]*\]\((?:\.\./)+pictures/([^)\s]+)\)")
WRITTEN = (
    re.compile(r"(?:--output|-o|--picture)[ =](\S+)"),
    re.compile(r"open\(\"([^\"]+)\", \"[wax]"),
    re.compile(r"(?:savefig|save_pretrained)\(\"([^\"]+)\""),
    re.compile(r"Path\(\"([^\"]+)\"\)\.(?:write|mkdir)"),
)
"""How an example names what it writes: as an option of a command, or in a call of Python."""
FOLDER = re.compile(r"^\| in the folder `(?P<name>[^`]+)` \|.*\n\|[-|]+\n(?P<rows>(?:\|.*\n)+)", re.MULTILINE)
MADE = re.compile(r"(^|/)reference/|\.ipynb$")  # by the build of the site, whose own test follows such links
PROGRAMS = {"biofm", "cp"}
TEXTS = {"csv", "json", "makefile", "text", "toml", "yaml"}  # shown, not run
MOST_PICTURE_BYTES = 150_000

FLOAT = re.compile(r"-?\d[\d,]*(?:\.\d+)+(?:e[-+]?\d+)?|(?<![\w.])-?\d+e[-+]?\d+")
NUMBER = re.compile(r"-?\d[\d,.]*(?: [kMG]i?B)?")
OF_THIS_MACHINE = re.compile(r"/s\b|\b(?:milliseconds?|seconds?|minutes?|hours?|days?|[kMG]i?B)\b")
"""What a line names whose numbers depend on the machine: a speed, a time or an amount of memory."""


def read_blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    return blocks_of(page.read_text(encoding="utf-8"))


def run_page(page: Path, folder: Path) -> None:
    """Run the page's blocks in ``folder``; an example that fails raises."""
    names: dict[str, object] = {"__name__": "__main__"}
    blocks = read_blocks(page)
    shown = {block.line: after.code for block, after in pairwise(blocks) if after.language == "text"}
    for block in blocks:
        if block.reason is not None:
            continue
        if block.language == "python":
            run_python_block(block, names, shown.get(block.line, ""), page)
        elif block.language in SHELLS:
            run_shell_block(block, page, folder)


def run_python_block(block: Block, names: dict[str, object], shown: str, page: Path) -> None:
    """Run a block and compare what it prints with ``shown``, the text block behind it."""
    code = "\n" * (block.line - 1) + block.code  # so that a traceback shows the page's own line
    output, errors = StringIO(), StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        exec(compile(code, str(page), "exec"), names)
    printed = [*output.getvalue().splitlines(), *errors.getvalue().splitlines()]
    where = f"{page.name}, block at line {block.line}"
    compare_or_save(page, lines_of(shown), printed, what=f"{where}: the code")


def run_shell_block(block: Block, page: Path, folder: Path) -> None:
    """Run the commands of a block and compare what they print with what the block says."""
    where = f"{page.name}, block at line {block.line}"
    for command, expected in zip(commands_of(block), outputs_of(block), strict=True):
        printed = run_command(command, folder, where=where)
        compare_or_save(page, expected, printed, what=f"{where}: `{command}`")


def compare_or_save(page: Path, expected: Sequence[str], printed: Sequence[str], what: str) -> None:
    """Fail if a line is not printed that the page shows, or write the printed one into the page if asked to.

    Args:
        page: The page.
        expected: The lines that the page shows.
        printed: The lines that were printed.
        what: What printed them, for the message.
    """
    if os.environ.get("BIOFM_SAVE_OUTPUT"):
        replace_lines(page, expected, printed)
    elif wrong := lines_not_printed(expected, printed):
        pytest.fail(f"{what} does not print {wrong}, but:\n" + "\n".join(printed))


def outputs_of(block: Block) -> list[list[str]]:
    """Return for each command of a block the lines that the block says it prints."""
    if block.language != "console":
        return [[] for _ in commands_of(block)]
    outputs: list[list[str]] = []
    for line in block.code.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            outputs.append([])
        else:
            outputs[-1] += lines_of(line)
    return outputs


def lines_of(text: str) -> list[str]:
    """Return the lines of an output that a page shows, without empty ones and those that stand for others."""
    return [line for line in text.splitlines() if line.strip() not in {"", "..."}]


def lines_not_printed(expected: Sequence[str], printed: Sequence[str]) -> list[str]:
    """Return the expected lines that are not among the printed ones, in this order."""
    rest = iter(printed)
    return [line for line in expected if not any(is_shown_as(other, line) for other in rest)]


def is_shown_as(printed: str, line: str) -> bool:
    """Return whether a page may show a printed line as this line, of which ``...`` leaves out the end."""
    if line.endswith("..."):
        return same_everywhere(printed).startswith(same_everywhere(line.removesuffix("...")))
    return same_everywhere(printed) == same_everywhere(line)


def same_everywhere(line: str) -> str:
    """Return a line without what differs between machines."""
    differs = NUMBER if OF_THIS_MACHINE.search(line) else FLOAT
    return " ".join(differs.sub("#", line).split())


def replace_lines(page: Path, expected: Sequence[str], printed: Sequence[str]) -> None:
    """Write, in place of each expected line of a page, the printed line that is most like it."""
    text = page.read_text(encoding="utf-8")
    for line in expected:
        if line.endswith("..."):
            continue  # a person chose where it ends
        same = [other for other in printed if is_shown_as(other, line)]
        for found in (same or get_close_matches(line, printed, n=1, cutoff=0.3))[:1]:
            text = text.replace(f"\n{line}\n", f"\n{found.rstrip()}\n", 1)
    page.write_text(text, encoding="utf-8")


def run_command(command: str, folder: Path, where: str) -> list[str]:
    """Run one command in ``folder`` and return the lines that it prints."""
    program, *words = shlex.split(command, comments=True)
    if program == "make":
        unknown = {word for word in words if "=" not in word} - make_targets()
        assert not unknown, f"{where}: `{command}`: the Makefile has no target {sorted(unknown)}"
        return []
    assert program in PROGRAMS, (
        f"{where}: `{command}` is no command of biofm or cp: say <!-- not run: reason --> above it"
    )
    environment = os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    shell = ["bash", "-euo", "pipefail", "-c", command]
    result = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{where}: `{command}` failed:\n{result.stdout}{result.stderr}"
    return [*result.stdout.splitlines(), *result.stderr.splitlines()]


def make_targets() -> set[str]:
    """Return the targets of the Makefile."""
    return set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )


def names_written_by(page: Path) -> set[str]:
    """Return the names of the files and folders that the blocks of a page write."""
    code = "\n".join(block.code for block in read_blocks(page) if block.reason is None)
    return {name for pattern in WRITTEN for name in pattern.findall(code)}


def compare_folders(page: Path, folder: Path) -> None:
    """Fail if a table of a page lists other content of a folder than the blocks of the page wrote into it."""
    for table in FOLDER.finditer(page.read_text(encoding="utf-8")):
        cells = [row.split("|")[1] for row in table["rows"].splitlines()]
        named = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
        is_other_picture = ".png" in named
        found = {path.name + "/" * path.is_dir() for path in (folder / table["name"]).iterdir()}
        named |= {name for name in found if is_other_picture and name.endswith(".png")}
        assert found == named - {".png"}, f"{page.name}: the table of the folder {table['name']}"


def pictures_of(page: Path) -> list[str]:
    """Return the names of the pictures that a page shows as ``../pictures/NAME``."""
    return PICTURE.findall(page.read_text(encoding="utf-8"))


def save_picture(made: Path, kept: Path) -> None:
    """Copy a picture; a PNG is reduced to 256 colours, which is a third of the size and looks the same."""
    kept.parent.mkdir(exist_ok=True)
    if made.suffix == ".png":
        Image.open(made).convert("RGB").quantize(256).save(kept, optimize=True)
    else:
        shutil.copyfile(made, kept)
