"""Every example in README.md, CONTRIBUTING.md and docs/ runs, and prints what the page says it prints.

A page's blocks run from top to bottom in one folder, which holds ``biofm/examples`` as a checkout does, as
for a reader who follows along. Blocks of ``python`` share their names. Of ``bash`` and ``console`` blocks
the commands ``biofm`` and ``cp`` are run, and a ``make`` command must name a target. A block that cannot run
stands below ``<!-- not run: reason -->``.

In a ``console`` block the lines below a command are among the lines that it prints, in their order. So are
the lines of a ``text`` block among those that the ``python`` block before it prints, if no other block stands
between them. A page may leave lines out, and the ends of lines, where it shows ``...``. Whole numbers and all
words are compared. Not compared are the width of columns and numbers with a decimal point, because machines
differ in both; nor any number of a line that names a time, a speed or an amount of memory.

With ``BIOFM_SAVE_PICTURES=1`` the pictures that a page shows as ``../pictures/NAME`` and its blocks make are
copied to docs/pictures. With ``BIOFM_SAVE_OUTPUT=1`` the printed lines of a page become those of this
machine.

A table headed ``in the folder `NAME` `` lists what a command wrote into that folder: all of it, and nothing
else.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from difflib import get_close_matches
from io import StringIO
from itertools import combinations, pairwise
from pathlib import Path

import pytest
from PIL import Image

from docs.notebooks import NOTE, SHELLS, TUTORIALS, Block, blocks_of, commands_of

ROOT = Path(__file__).resolve().parents[2]
FIRST_PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *TUTORIALS]
EXAMPLES = Path("biofm/examples")
PICTURES = ROOT / "docs" / "pictures"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]
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


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder where a reader stands, with ``biofm/examples`` and this checkout's ``biofm``."""
    command = tmp_path / "bin" / "biofm"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT}/cli.py" "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    if (ROOT / EXAMPLES).is_dir():
        shutil.copytree(ROOT / EXAMPLES, tmp_path / EXAMPLES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    """Close the figures that the examples of a page drew, and draw them without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.mark.parametrize("page", PAGES_HERE)
def test_the_examples_of_a_page_run(page: Path, reader: Path) -> None:
    run_page(page, reader)
    compare_folders(page, reader)
    for name in pictures_of(page):
        if (reader / name).exists() and os.environ.get("BIOFM_SAVE_PICTURES"):
            save_picture(reader / name, PICTURES / name)


def test_no_two_pages_write_the_same_name() -> None:
    # A reader stays in one folder: a command would stop at the file of another page, and Python overwrite it.
    pages = {page.relative_to(ROOT): names_written_by(page) for page in PAGES if page.is_file()}
    assert {"embedded.h5ad", "hydropathy.csv", "predicted.png"} <= set().union(*pages.values())
    for (page, names), (other, others) in combinations(pages.items(), 2):
        assert names & others == set(), f"{page} and {other}"


@pytest.mark.slow
def test_a_reader_follows_the_first_pages_in_one_folder(reader: Path) -> None:
    before: dict[Path, bytes] = {}
    for page in FIRST_PAGES:
        run_page(page, reader)
        files = {file: file.read_bytes() for file in reader.rglob("*") if file.is_file()}
        assert {file for file in before if files[file] != before[file]} == set(), page
        before = files


@pytest.mark.parametrize("page", PAGES_HERE)
def test_every_picture_of_a_page_is_there_and_made_by_its_blocks(page: Path) -> None:
    # A picture that no block makes would stay as it was when the commands change.
    code = "\n".join(block.code for block in read_blocks(page) if block.reason is None)
    for name in pictures_of(page):
        assert name in code, f"{page.name}: no block makes {name}"
        assert (PICTURES / name).is_file(), f"{name}: run this test file with BIOFM_SAVE_PICTURES=1"
        assert (PICTURES / name).stat().st_size < MOST_PICTURE_BYTES


@pytest.mark.parametrize("page", PAGES_HERE)
def test_every_block_names_a_language_that_is_known_here(page: Path) -> None:
    # A block of ``py`` or of no language would never be run, and nobody would notice.
    known = {"python"} | SHELLS | TEXTS
    assert {block.line: block.language for block in read_blocks(page) if block.language not in known} == {}


@pytest.mark.parametrize("page", PAGES_HERE)
def test_a_block_that_is_not_run_says_why(page: Path) -> None:
    left_out = [block for block in read_blocks(page) if block.reason is not None]
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
    assert [link for link in links if not MADE.search(link) and not (page.parent / link).exists()] == []


def write_page(folder: Path, *lines: str) -> Path:
    """Write a page of these lines and return its path."""
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
    assert [block.reason for block in read_blocks(page)] == ["it would fail"]


def test_an_indented_block_is_run_without_its_indent(reader: Path) -> None:
    page = write_page(reader, "1. So:", "", "   ```python", "   if True:", "       b = 1", "   ```")
    run_page(page, reader)
    assert [block.code for block in read_blocks(page)] == ["if True:\n    b = 1\n"]


def test_the_output_in_a_console_block_is_no_command() -> None:
    block = Block("console", "$ biofm embed a.fasta \\\n    --model m\n12 proteins\n", line=1, reason=None)
    assert list(commands_of(block)) == ["biofm embed a.fasta      --model m"]
    assert outputs_of(block) == [["12 proteins"]]


def test_a_line_that_a_command_no_longer_prints_is_reported_or_replaced(
    reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_page(reader, "```console", "$ cp --version", "...", "cp (GNU coreutils) 1.0", "```")
    run_page(page, reader)  # another number is no fault
    page = write_page(reader, "```console", "$ cp --version", "cp (New coreutils) 1.0", "```")
    with pytest.raises(pytest.fail.Exception, match="does not print"):
        run_page(page, reader)
    monkeypatch.setenv("BIOFM_SAVE_OUTPUT", "1")
    run_page(page, reader)
    assert "New" not in page.read_text(encoding="utf-8")
    monkeypatch.delenv("BIOFM_SAVE_OUTPUT")
    run_page(page, reader)


@pytest.mark.parametrize(
    ("line", "printed", "is_same"),
    [
        ("12 proteins  0.432", "12 proteins 0.5", True),
        ("12 proteins", "13 proteins", False),
        ("1,228,449 parameters", "1,228,450 parameters", False),
        ("distance 2.9e-08", "distance 0.0", True),
        ("rate 1e-05", "rate -2e-3", True),
        ("154 proteins, 11,847 tokens/s", "154 proteins, 9 tokens/s", True),
        ("memory  3 GB", "memory 512 MB", True),
        ("12 minutes", "7 minutes", True),
        ("12 minutes", "12 hours", False),
        ("a word is missing: give ...", "a word is missing: give it", True),
        ("a word is missing: take ...", "a word is missing: give it", False),
    ],
)
def test_whole_numbers_and_words_are_compared(line: str, printed: str, is_same: bool) -> None:
    assert (lines_not_printed([line], [printed]) == []) == is_same


def test_lines_are_printed_in_their_order() -> None:
    assert lines_not_printed(["a", "c"], ["a", "b", "c"]) == []
    assert lines_not_printed(["c", "a"], ["a", "b", "c"]) == ["a"]


def test_what_a_python_block_no_longer_prints_is_reported_or_replaced(
    reader: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = ("```python", "print('2 proteins')", "print('so many')", "```")
    run_page(write_page(reader, *code, "Then:", "```text", "2 proteins", "...", "```"), reader)
    page = write_page(reader, *code, "", "```text", "3 proteins", "```")
    with pytest.raises(
        pytest.fail.Exception, match=r"block at line 2: the code does not print \['3 proteins"
    ):
        run_page(page, reader)
    monkeypatch.setenv("BIOFM_SAVE_OUTPUT", "1")
    run_page(page, reader)
    assert "\n2 proteins\n" in page.read_text(encoding="utf-8")


def test_a_table_of_a_folder_names_all_that_is_in_it(reader: Path) -> None:
    table = ("", "| in the folder `run` | content |", "|---|---|", "| `a.csv`, `log/` | numbers |")
    (reader / "run" / "log").mkdir(parents=True)
    (reader / "run" / "a.csv").touch()
    compare_folders(write_page(reader, *table, "| other `.png` files | curves |"), reader)
    for left_out in ("b.csv", "c.png"):
        (reader / "run" / left_out).touch()
        with pytest.raises(AssertionError, match=r"page\.md: the table of the folder run"):
            compare_folders(write_page(reader, *table), reader)
        (reader / "run" / left_out).unlink()


def test_a_text_block_behind_another_block_is_not_compared(reader: Path) -> None:
    shell = ("```bash", "cp --version", "```")
    run_page(write_page(reader, "```python", "print(1)", "```", *shell, "```text", "2", "```"), reader)
