"""Progress of long work: standard error shows a bar on a terminal, elsewhere a line every ten seconds."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from biofm.core.text import format_duration, shown

if TYPE_CHECKING:
    import rich.progress

SECONDS_BETWEEN_LINES = 10.0

Listener = Callable[[str, float | None], None]
"""A function that is called with the name of the work, such as "embedding", and the fraction of it that is
done, from 0 to 1, or None if that is not known.
"""


class RunProgress(Protocol):
    """Describes the function that a run calls to report its progress.

    Its arguments are the name of the stage, how much work of that stage is done, how much there is in all,
    and a detail to show beside them.
    """

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None: ...


class Progress:
    """Shows the progress of work in one stage.

        with Progress("embedding") as progress:
            progress.update(tokens=1_000, fraction=0.1)

    ``update`` is cheap and may be called often. The bar vanishes when the ``with`` ends; the caller prints
    the summary.

    Args:
        label: The name of the work, shown before the bar.
        quiet: Whether to show nothing.
        listener: A function that is called at every update, even if ``quiet`` is set.
        stream: Where the progress is written; standard error by default.
        clock: A function that returns the time in seconds.
    """

    def __init__(
        self,
        label: str,
        *,
        quiet: bool = False,
        listener: Listener | None = None,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label = shown(label)
        self._quiet = quiet
        self._listener = listener
        self._stream = stream or sys.stderr
        self._clock = clock
        self._start_s = self._last_line_s = clock()
        self._start_fraction = 0.0
        self._bar: rich.progress.Progress | None = None

    def __enter__(self) -> Self:
        self._start_s = self._last_line_s = self._clock()
        if not self._quiet and self._stream.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _start_bar(self._label, self._stream)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start_from(self, fraction: float | None) -> None:
        """Start the clock now, so that earlier work does not count as speed.

        Args:
            fraction: The fraction of the work, from 0 to 1, that an earlier session did. None means none.
        """
        self._start_s = self._clock()
        self._start_fraction = fraction or 0.0

    def update(self, *, tokens: int | None = None, fraction: float | None = None, detail: str = "") -> None:
        """Show how much is done.

        Args:
            tokens: How many tokens were processed since the start, or None if that is not known.
            fraction: The fraction of all work that is done, from 0 to 1, or None if that is not known.
            detail: A text to show instead of the time left.
        """
        if self._listener is not None:
            self._listener(self._label, fraction)
        if self._quiet:
            return
        elapsed_s = self._clock() - self._start_s
        speed = f"{tokens / elapsed_s:,.0f} tokens/s" if tokens is not None and elapsed_s > 0 else ""
        done_here = (fraction or 0.0) - self._start_fraction
        left = detail
        if not detail and fraction and done_here > 0:
            left = f"{format_duration(elapsed_s * (1 - fraction) / done_here)} left"
        if self._bar is not None:
            (task,) = self._bar.task_ids
            self._bar.update(task, completed=fraction or 0.0, total=None if fraction is None else 1.0)
            self._bar.update(task, detail=shown("  ".join(filter(None, [speed, left]))))
        elif self._clock() - self._last_line_s >= SECONDS_BETWEEN_LINES:
            self._last_line_s = self._clock()
            share = f"{fraction:.0%}" if fraction is not None else ""
            done = f"{tokens:,} tokens" if tokens is not None else ""
            parts = filter(None, [share, done, speed, left])
            print(f"{self._label}: {shown(', '.join(parts))}", file=self._stream, flush=True)


class StageProgress:
    """Shows the progress of work in several stages, with a bar for each.

        with StageProgress() as bar:
            bar.update("training", 10, 500)

    Args:
        quiet: Whether to show nothing.
        listener: A function that is called at every update, even if ``quiet`` is set.
    """

    def __init__(self, *, quiet: bool = False, listener: Listener | None = None) -> None:
        self._quiet = quiet
        self._listener = listener
        self._stage = ""
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, fault, trace)

    def update(self, stage: str, done: int, total: int, detail: str = "") -> None:
        """Show how much of a stage is done. A new stage starts a new bar.

        Args:
            stage: The name of the stage.
            done: How much of the stage is done, in units of the caller's choice.
            total: How much there is to do in the stage, in the same units.
            detail: A text to show instead of the time left.
        """
        if self._bar is None or stage != self._stage:
            self.__exit__(None, None, None)
            self._stage = stage
            self._bar = Progress(stage, quiet=self._quiet, listener=self._listener).__enter__()
        self._bar.update(fraction=done / total if total else 1.0, detail=detail)


@dataclass(frozen=True, slots=True)
class ProgressSink:
    """Says where a verb reports its progress.

    Attributes:
        quiet: Whether nothing is shown on standard error.
        listener: A function that is called at every update, even if ``quiet`` is set.
    """

    quiet: bool = True
    listener: Listener | None = None

    def bar(self, label: str) -> Progress:
        """Return the progress of work in one stage.

        Args:
            label: The name of the work, shown before the bar.
        """
        return Progress(label, quiet=self.quiet, listener=self.listener)

    def stages(self) -> StageProgress:
        """Return the progress of work in several stages."""
        return StageProgress(quiet=self.quiet, listener=self.listener)


SILENT = ProgressSink()


def _start_bar(label: str, stream: TextIO) -> "rich.progress.Progress":
    from rich.console import Console  # Its import is slow, and only a terminal needs it.
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),  # A member's name may hold brackets.
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=Console(file=stream),
        transient=True,
        redirect_stdout=False,  # Standard output may be a pipe that waits for results.
    )
    bar.add_task(label, total=None, detail="")
    bar.start()
    return bar
