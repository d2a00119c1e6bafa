"""What commands print: results on standard output, everything about them on standard error."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from math import isfinite
from typing import Any

from biofm.core.errors import OutputError


def print_result(text: str) -> None:
    """Text on standard output. Raises OutputError where that cannot be written."""
    with output_faults():
        print(text, flush=True)


def print_json(result: Any) -> None:
    """One object on standard output, for programs; null is a number that is not finite, which JSON lacks."""
    fields = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    print_result(json.dumps(_in_json(fields), indent=2, allow_nan=False))


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
    spelt = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in lines)
    print_result("\n".join(map(str.rstrip, spelt)))


def _in_json(value: Any) -> Any:
    match value:
        case float():
            return value if isfinite(value) else None
        case Mapping():
            return {key: _in_json(it) for key, it in value.items()}
        case list() | tuple():
            return [_in_json(it) for it in value]
    return value


@contextmanager
def output_faults() -> Iterator[None]:
    """Turn a fault of writing to standard output into an OutputError, unless its reader has just gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_output()
        raise OutputError(
            f"nothing can be written there ({error.strerror})",
            where="standard output",
            remedy="Send it elsewhere, or free some space there",
        ) from error


def forget_output() -> None:
    """Let what was not written yet go nowhere: Python tries once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
