"""How far a long job is, on standard error: a bar on a terminal, a line now and then anywhere else."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from biofm.core.terminal import shown

if TYPE_CHECKING:
    import rich.progress

SECONDS_BETWEEN_LINES = 10.0

Listener = Callable[[str, float | None], None]
"""Is told what is being done, such as "embedding", and which share of it is done in [0, 1], if that is known.
"""


def no_progress(*counts: int) -> None:
    """Hears of progress that nobody watches."""


class RunProgress(Protocol):
    """Called with a stage of a run, the work done and all the work of that stage, and what else there is to
    say.
    """

    def __call__(self, stage: str, done: int, total: int, detail: str = "") -> None: ...


class Progress:
    """``with Progress("embedding") as progress:``, then ``progress.update(tokens=..., fraction=...)``.

    ``update`` may be called as often as one likes. The bar vanishes at the end: the summary is the caller's.
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
        """The clock starts here, where so much had been done in an earlier session."""
        self._start_s = self._clock()
        self._start_fraction = fraction or 0.0

    def update(self, *, tokens: int | None = None, fraction: float | None = None, detail: str = "") -> None:
        """``tokens`` done since the start; ``fraction`` of the work done, in [0, 1]; each if known.

        ``detail`` is shown in the place of speed and time left, which its giver knows better.
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
    """Progress of work in stages, a bar for each: ``with StageProgress() as bar: bar.update("training", 10,
    500)``.
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
        """``done`` of ``total`` in this stage; another name than before begins a new one. ``detail``: what is
        shown beside it, instead of the time left.
        """
        if self._bar is None or stage != self._stage:
            self.__exit__(None, None, None)
            self._stage = stage
            self._bar = Progress(stage, quiet=self._quiet, listener=self._listener).__enter__()
        self._bar.update(fraction=done / total if total else 1.0, detail=detail)


@dataclass(frozen=True, slots=True)
class ProgressSink:
    """Where the progress of a verb goes: to the terminal unless ``quiet``, and to a ``listener``."""

    quiet: bool = True
    listener: Listener | None = None

    def bar(self, label: str) -> Progress:
        """For work in one stage."""
        return Progress(label, quiet=self.quiet, listener=self.listener)

    def stages(self) -> StageProgress:
        """For work in several stages."""
        return StageProgress(quiet=self.quiet, listener=self.listener)


SILENT = ProgressSink()


def format_duration(seconds: float) -> str:
    """``45 s``, ``1 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    whole = max(0, round(seconds))
    for unit, part, size_s, part_s in (
        ("d", "h", 86_400, 3_600),
        ("h", "min", 3_600, 60),
        ("min", "s", 60, 1),
    ):
        if whole >= size_s:
            return f"{whole // size_s} {unit} {whole % size_s // part_s} {part}"
    return f"{whole} s"


def _start_bar(label: str, stream: TextIO) -> "rich.progress.Progress":
    from rich.console import Console  # slow to import, and needed only on a terminal
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    bar = Progress(
        TextColumn("{task.description}", markup=False),  # a member's name may hold brackets
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=Console(file=stream),
        transient=True,
        redirect_stdout=False,  # standard output may be a pipe that waits for results
    )
    bar.add_task(label, total=None, detail="")
    bar.start()
    return bar
