"""What the reports of all runs share: the curves of the log, the environment, the date, and their files."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import torch

from biofm.core.environment import Environment, find_environment
from biofm.inference import Compute
from biofm.report import Curves, Series, draw_curves
from biofm.report.run import RunReport, write_report
from biofm.training.folder import written_whole

REPORT = "report.html"

Rows = Sequence[Mapping[str, float]]
"""The rows of a log as ``read_log`` gives them: a row lacks the columns that it has no value for."""


def write_run_report(report: RunReport, folder: Path) -> None:
    """Write ``report.html``, and a PNG file for each of its curves: ``loss.png``,
    ``learning_rate.png``, ...
    """
    for curves in report.curves:
        with written_whole(folder / f"{curves.title.lower().replace(' ', '_')}.png") as file:
            draw_curves(curves, file, ".png")
    with written_whole(folder / REPORT) as file:
        write_report(report, file)


def curves_of(rows: Rows, loss: str, levels: Mapping[str, float], note: str = "") -> tuple[Curves, ...]:
    """Curves of loss, learning rate, speed, MFU and memory over the steps, of those that were measured.

    ``loss``: the label of the losses, with their unit. ``levels``: losses to compare with, by their names.
    ``note``: the text below the losses.
    """
    losses = Curves(
        title="Loss",
        x_label="step",
        y_label=loss,
        series=_found(
            _series(rows, "training", "loss", is_noisy=True), _series(rows, "validation", "validation_loss")
        ),
        levels=levels,
        note=note,
    )
    others = [
        _single("Learning rate", "learning rate", _series(rows, "learning rate", "learning_rate")),
        _single("Speed", "tokens a second", _series(rows, "tokens/s", "tokens_per_second", is_noisy=True)),
        _single("Use of the machine", "MFU (%)", _series(rows, "MFU", "mfu", scale=100, is_noisy=True)),
        _single("Memory", "memory (GB)", _series(rows, "memory", "memory_bytes", scale=1e-9)),
    ]
    return tuple(curves for curves in (losses, *others) if curves.series)


def training_seconds(rows: Rows) -> float:
    """How many seconds the steps took, without validation and checkpoints between them."""
    seconds, tokens_before = 0.0, 0.0
    for row in rows:
        if row.get("tokens_per_second"):
            seconds += (row["tokens"] - tokens_before) / row["tokens_per_second"]
        tokens_before = row["tokens"]
    return seconds


def environment_of(compute: Compute) -> Environment:
    """The environment of this process for the report, with what torch knows of it: threads and GPUs."""
    return find_environment(
        threads=torch.get_num_threads(),
        gpus=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        device=compute.device.type,
        dtype=compute.dtype_name,
    )


def join_names(names: Sequence[str]) -> str:
    """The names in one phrase: ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def now() -> str:
    """The local date and time, to the minute."""
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"


def _single(title: str, y_label: str, series: Series) -> Curves:
    return Curves(title=title, x_label="step", y_label=y_label, series=_found(series))


def _found(*series: Series) -> tuple[Series, ...]:
    return tuple(one for one in series if len(one.x))


def _series(rows: Rows, name: str, column: str, *, scale: float = 1.0, is_noisy: bool = False) -> Series:
    points = [(row["step"], scale * row[column]) for row in rows if column in row]
    return Series(name=name, x=[x for x, _ in points], y=[y for _, y in points], is_noisy=is_noisy)
