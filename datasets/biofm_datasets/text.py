"""Reads a binary stream as lines of text and names the line of every fault."""

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO

from biofm_datasets.errors import DataError

MISSING = frozenset({"", "na", "n/a", "nan", "<na>", "none", "null"})
"""The words, in lower case, by which programs mark an empty cell."""

LONGEST_LINE = 10_000_000
"""The most bytes of a line and of a record. The longest known protein, PKZILLA-1, has 45,212 residues."""

_BLOCK_BYTES = 1 << 18


def read_lines(stream: BinaryIO, name: str, *, keep_line_ends: bool = False) -> Iterator[str]:
    r"""Yield the lines of ``stream`` as text, each ended by ``\n`` (except perhaps the last one).

    ``\n``, ``\r\n`` and ``\r`` all end a line. A byte-order mark is dropped. One block and one line are in
    memory at a time.

    Args:
        stream: The opened file.
        name: Its name, for messages.
        keep_line_ends: Whether line ends stay as they are in the file.

    Raises:
        DataError: A line holds a NUL byte or bytes that are not UTF-8, or is longer than ``LONGEST_LINE``.
            The message names the line.
    """
    n_lines = 0
    for block in _whole_lines(stream):
        if block is None:
            raise too_long("line", f"{name}, line {n_lines + 1}")
        if n_lines == 0:
            block = block.removeprefix(codecs.BOM_UTF8)
        yield from io.StringIO(_decode(block, name, n_lines), newline="" if keep_line_ends else None)
        n_lines += _count_lines(block)


def too_long(what: str, where: str) -> DataError:
    """Return the error for a line, a record or a cell that is unreasonably long."""
    remedy = "Remove or divide it, and check that the file has the format that its name says"
    return DataError(f"this {what} is longer than {LONGEST_LINE:,} characters", where=where, remedy=remedy)


def _whole_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield blocks that end where a line ends, so that no character and no line end is cut; None if a line is
    too long.
    """
    pending: list[bytes] = []
    while chunk := stream.read(_BLOCK_BYTES):
        # A "\r" at the end may be the first half of "\r\n", so it waits for the next chunk.
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r", 0, -1)) + 1
        if end == 0:
            pending.append(chunk)
            if len(pending) * _BLOCK_BYTES > LONGEST_LINE:
                yield None
            continue
        yield b"".join(pending) + chunk[:end]
        pending = [chunk[end:]]
    if rest := b"".join(pending):
        yield rest


def _decode(block: bytes, name: str, n_lines_before: int) -> str:
    fault = block.find(b"\0")
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError as error:
        fault = error.start if fault < 0 else min(fault, error.start)
    if fault < 0:
        return text
    raise DataError(
        "this is not UTF-8 text",
        where=f"{name}, line {n_lines_before + _count_lines(block[:fault]) + 1}",
        remedy="The file is binary or in another encoding; give a text file in UTF-8",
    )


def _count_lines(block: bytes) -> int:
    return block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")


def format_count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: ``1 protein``, ``2,000 proteins``.

    Args:
        number: How many there are.
        one: The noun in the singular.
        many: The noun in the plural; by default ``one`` with an s behind it.
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
