"""Notebooks from the tutorials, which ``docs/site.py`` puts beside the pages.

jupytext converts the Markdown. Python blocks become code cells and shell blocks become ``%%bash`` cells. A
block below ``<!-- not run: reason -->``, or in a language that is only shown, stays part of the text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jupytext  # type: ignore[import-untyped]

TUTORIALS = [page for page in sorted(Path(__file__).parent.glob("tutorials/*.md")) if page.stem != "index"]

NOTE = r"^<!-- not run:(?P<reason>.*?)-->$"
BLOCK = re.compile(
    rf"(?:{NOTE}\n+)?^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
SHELLS = {"bash", "console"}

# It makes Python the language of a notebook that begins with a shell block.
HEADER = """---
jupyter:
  kernelspec:
    display_name: Python 3
    language: python
    name: python3
---

"""


@dataclass(frozen=True, slots=True)
class Block:
    """Holds one fenced block of a page.

    Attributes:
        language: The word behind the fence, such as ``python``.
        code: The text between the fences, without the indent of the block.
        line: The line of the page on which the code begins, from 1.
        reason: Why the block is not run. None means that it is run.
    """

    language: str
    code: str
    line: int
    reason: str | None


def blocks_of(text: str) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    return [_block(match, text) for match in BLOCK.finditer(text)]


def commands_of(block: Block) -> Iterator[str]:
    """Yield the commands of a shell block, each on one line.

    In a ``bash`` block every line is a command, unless it is a comment. In a ``console`` block the commands
    stand behind ``$``, and the other lines are what they print.
    """
    for line in block.code.replace("\\\n", " ").splitlines():
        if block.language == "bash" and line.strip() and not line.startswith("#"):
            yield line.strip()
        elif block.language == "console" and line.startswith("$ "):
            yield line.removeprefix("$ ").strip()


def as_jupytext(text: str) -> str:
    """Return a page as the Markdown from which jupytext makes cells."""
    return BLOCK.sub(lambda match: _as_cell(match, _block(match, text)), text)


def notebook_of(page: Path) -> str:
    """Return a page of the documentation as a notebook that has not been run, in its JSON."""
    notebook = jupytext.reads(HEADER + as_jupytext(page.read_text(encoding="utf-8")), fmt="md")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # a random id would change the file at every build
    written: str = jupytext.writes(notebook, fmt="ipynb")
    return written


def _block(match: re.Match[str], text: str) -> Block:
    """Return the block that was found in the text of a page."""
    return Block(
        language=match["language"].strip(),
        code=re.sub(f"^{match['indent']}", "", match["code"], flags=re.MULTILINE),
        line=text.count("\n", 0, match.start("code")) + 1,
        reason=None if match["reason"] is None else match["reason"].strip(),
    )


def _as_cell(match: re.Match[str], block: Block) -> str:
    """Return the Markdown of one block for jupytext, which takes only unindented blocks for cells."""
    if block.reason is not None:
        shown = match[0].split("-->\n", 1)[1].lstrip("\n")
        return f"<!-- #region -->\n{shown}\n<!-- #endregion -->"
    if block.language in SHELLS:
        return "```bash\n{}\n```".format("\n".join(commands_of(block)))
    if block.language == "python":
        return f"```python\n{block.code}```"
    return match[0]
