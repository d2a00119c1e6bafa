"""Printing: results go to standard output, and everything about them goes to standard error.

Text from files reaches the terminal only through ``shown``.
"""

import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from biofm_datasets.text import format_count

from biofm.core.errors import OptionError, OutputError
from biofm.core.text import format_notice, shown, shown_lines

if TYPE_CHECKING:  # these bring torch
    from biofm.evaluation import IntervalEstimate
    from biofm.inference.prediction import Remark


STANDARD_OUTPUT = "-"  # as the name of an output


def print_result(text: str) -> None:
    """Print text on standard output, or raise OutputError if it cannot be written."""
    with output_faults():
        print(shown_lines(text), flush=True)


def print_json(result: Any) -> None:
    """Print an object as JSON on standard output, for programs. A number that is not finite becomes null."""
    fields = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    text = json.dumps(_in_json(fields), indent=2, allow_nan=False)  # escapes all control characters but one
    print_result(text.replace("\x7f", r"\u007f"))


def say(text: str) -> None:
    """Print a line on standard error, for the person at the terminal."""
    print(shown(text), file=sys.stderr)


def place_of(output: str) -> str:
    """Return the name of an output for a line on standard error."""
    return "standard output" if output == STANDARD_OUTPUT else output


def say_wrote(what: str, output: object) -> None:
    """Print what was written to which file, or to standard output."""
    say(f"Wrote {what} to {place_of(str(output))}.")


def refuse_two_outputs(output: Path, as_json: bool) -> None:
    """Raise OptionError if a table and a summary would both go to standard output."""
    if as_json and str(output) == STANDARD_OUTPUT:
        what = "the table and the result would both go to standard output"
        raise OptionError(what, where="--json", remedy="Leave it out, or name a file with --output")


def say_notices(notices: Mapping[str, int]) -> None:
    """Print each notice, with its count unless it is a whole sentence."""
    for notice, count in notices.items():
        say(f"notice: {format_notice(notice, count)}")


def say_remarks(remarks: "Iterable[Remark]") -> None:
    """Print how far predictions can be trusted; some of the remarks are warnings."""
    for text, is_warning in remarks:
        say(f"warning: {text}" if is_warning else text)


def print_table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...] = ()) -> None:
    """Print rows as columns, each as wide as its longest cell, without lines around them."""
    lines = [tuple(map(shown, row)) for row in ([header, *rows] if header else rows)]
    widths = [max(len(row[i]) for row in lines) for i in range(len(lines[0]))]
    spelt = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in lines)
    print_result("\n".join(map(str.rstrip, spelt)))


def format_estimate(estimate: "IntervalEstimate", *, with_interval: bool = True) -> str:
    """Return a value for a table, with its interval if it has one; a value that is not defined is "-"."""
    if estimate.value is None:
        return "-"
    text = f"{estimate.value:.3f}"
    if with_interval and estimate.low is not None:
        text += f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return text


def print_if_unreliable(estimates: Sequence["IntervalEstimate"], n: int) -> None:
    """Print below a table that its intervals are unreliable, if there are any and they are over too few rows.

    Args:
        estimates: The estimates whose intervals the table shows.
        n: Number of judged rows, the fewest if the estimates differ in it.
    """
    from biofm.evaluation import FEWEST_FOR_INTERVAL, describe_interval  # brings torch

    if n < FEWEST_FOR_INTERVAL and any(it.bounds is not None for it in estimates):
        print_result(f"In brackets: {describe_interval(n, 'row')}.")


def _in_json(value: Any) -> Any:
    """Return a value in which None replaces the numbers that are not finite, which JSON lacks."""
    match value:
        case float():
            return value if isfinite(value) else None
        case Mapping():
            return {key: _in_json(it) for key, it in value.items()}
        case list() | tuple():
            return [_in_json(it) for it in value]
    return value


def show_all_safely() -> None:
    """Pass the warnings and logs of all libraries through ``shown`` before they reach the terminal."""
    warnings.formatwarning = _format_warning
    logging.setLogRecordFactory(_Record)


class _Record(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802  # logging's name
        return shown_lines(super().getMessage())


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"{shown(f'{filename}:{lineno}: {category.__name__}: {message}')}\n"


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback safely, because its words may come from a file. It is a ``sys.excepthook``."""
    sys.stderr.write(shown_lines("".join(traceback.format_exception(kind, error, trace))))


@contextmanager
def output_faults() -> Iterator[None]:
    """Turn an error of writing to standard output into OutputError.

    BrokenPipeError passes: the reader of the output is gone, and that is no fault.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        forget_output()
        raise OutputError(
            f"nothing can be written there ({error.strerror})",
            where="standard output",
            remedy="Redirect it to another place, or free some space",
        ) from error


def forget_output() -> None:
    """Discard what is not written yet, because Python would try to write it again at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def spelt_counts(n_items: int, n_units: int, provenance: Mapping[str, Any]) -> str:
    """Return how many records there were and how many units, such as "12 proteins, 4,647 residues"."""
    return f"{counted(n_items, 'items', provenance)}, {counted(n_units, 'units', provenance)}"


def counted(n: int, what: str, provenance: Mapping[str, Any]) -> str:
    """Return a number of "items" or "units" with the noun that the provenance has for them."""
    from biofm.models.families import modalities  # brings torch: not before a command runs

    many = provenance.get(what, {"items": "proteins", "units": "residues"}[what])  # as in earlier files
    modality = modalities().get(provenance.get("modality", ""))
    one = many if modality is None else getattr(modality.words, what.removesuffix("s"))
    return format_count(n, one, many)
