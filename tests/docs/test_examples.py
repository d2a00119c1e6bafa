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
import shutil
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest

from docs.notebooks import NOTE, SHELLS, Block, commands_of
from tests.docs.pages import (
    EXAMPLES,
    FIRST_PAGES,
    LINK,
    MADE,
    MOST_PICTURE_BYTES,
    PAGES,
    PAGES_HERE,
    PICTURES,
    ROOT,
    SLOW_PAGES,
    TEXTS,
    compare_folders,
    lines_not_printed,
    names_written_by,
    outputs_of,
    pictures_of,
    read_blocks,
    run_page,
    save_picture,
)


@pytest.fixture
def reader(tmp_path: Path, state_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder where a reader stands, with ``biofm/examples`` and this checkout's ``biofm``.

    The reader has a ledger of its own.
    """
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


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(*page.values, id=page.id, marks=pytest.mark.slow if page.id in SLOW_PAGES else ())
        for page in PAGES_HERE
    ],
)
def test_the_examples_of_a_page_run(page: Path, reader: Path) -> None:
    run_page(page, reader)
    compare_folders(page, reader)
    for name in pictures_of(page):
        if (reader / name).exists() and os.environ.get("BIOFM_SAVE_PICTURES"):
            save_picture(reader / name, PICTURES / name)


def test_every_slow_page_is_there() -> None:
    assert {page.id for page in PAGES_HERE} >= SLOW_PAGES


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
    monkeypatch.delenv("BIOFM_SAVE_OUTPUT", raising=False)
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
    monkeypatch.delenv("BIOFM_SAVE_OUTPUT", raising=False)
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
