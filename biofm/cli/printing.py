"""What commands print: results on standard output, everything about them on standard error."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any


def print_json(result: Any) -> None:
    """One object on standard output, for programs."""
    fields = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    print(json.dumps(fields, indent=2))


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, file=sys.stderr)


def say_notices(notices: Mapping[str, int]) -> None:
    for sentence, count in notices.items():
        say(f"notice: {sentence}: {count:,}")


def print_table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = ()) -> None:
    """Columns as wide as they need, nothing drawn around them."""
    lines = [header, *rows] if header else rows
    widths = [max(len(row[i]) for row in lines) for i in range(len(lines[0]))]
    for row in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
