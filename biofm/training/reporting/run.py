"""Reports of all runs share these parts: the curves of the log, the environment, the date and the files."""

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
"""The rows of a log as ``read_log`` returns them: a row has no entry for an empty column."""


def write_run_report(report: RunReport, folder: Path) -> None:
    """Write ``report.html`` and a PNG file for each of its curves (``loss.png``, ``learning_rate.png``, ...).

    Curves of one or two points have no file: the page states their values.

    Args:
        report: The contents of the report.
        folder: The folder of the run.
    """
    for curves in report.curves:
        if not curves.are_drawn:
            continue
        with written_whole(folder / f"{curves.title.lower().replace(' ', '_')}.png") as file:
            draw_curves(curves, file, ".png", models=report.models)
    with written_whole(folder / REPORT) as file:
        write_report(report, file)


def curves_of(rows: Rows, loss: str, levels: Mapping[str, float], note: str = "") -> tuple[Curves, ...]:
    """Make the curves of loss, learning rate, speed, MFU and memory over the steps.

    What was not measured has no curve.

    Args:
        rows: The rows of the log.
        loss: The unit of the losses, such as "nats per token".
        levels: Losses to compare with, by their names.
        note: The text below the losses.
    """
    losses = Curves(
        title="Loss",
        x_label="step",
        y_label=f"loss ({loss})" if loss else "loss",
        series=_found(
            _series(rows, "training", "loss", is_noisy=True), _series(rows, "validation", "validation_loss")
        ),
        levels=levels,
        note=note,
    )
    others = [
        _single("Learning rate", "learning rate", _series(rows, "learning rate", "learning_rate")),
        _single("Speed", "tokens per second", _series(rows, "tokens/s", "tokens_per_second", is_noisy=True)),
        _single(
            "Use of the machine",
            "model FLOPs utilisation (% of peak)",
            _series(rows, "MFU", "mfu", scale=100, is_noisy=True),
        ),
        _single("Memory", "memory (GB)", _series(rows, "memory", "memory_bytes", scale=1e-9)),
    ]
    return tuple(curves for curves in (losses, *others) if curves.series)


def training_seconds(rows: Rows) -> float:
    """Compute the seconds of all steps, without the validations and checkpoints between them.

    Args:
        rows: The rows of the log.
    """
    seconds, tokens_before = 0.0, 0.0
    for row in rows:
        if row.get("tokens_per_second"):
            seconds += (row["tokens"] - tokens_before) / row["tokens_per_second"]
        tokens_before = row["tokens"]
    return seconds


def environment_of(compute: Compute) -> Environment:
    """Describe the environment of this process, including torch's threads and the GPUs.

    Args:
        compute: The device and the number format.
    """
    return find_environment(
        threads=torch.get_num_threads(),
        gpus=[torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        device=compute.device.type,
        dtype=compute.dtype_name,
    )


def join_names(names: Sequence[str]) -> str:
    """Join names in one phrase: ``a, b and c``.

    Args:
        names: The names; none gives an empty phrase.
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def now() -> str:
    """Return the local date and time, to the minute."""
    return f"{datetime.now().astimezone():%Y-%m-%d %H:%M}"


def _single(title: str, y_label: str, series: Series) -> Curves:
    return Curves(title=title, x_label="step", y_label=y_label, series=_found(series))


def _found(*series: Series) -> tuple[Series, ...]:
    return tuple(one for one in series if len(one.x))


def _series(rows: Rows, name: str, column: str, *, scale: float = 1.0, is_noisy: bool = False) -> Series:
    points = [(row["step"], scale * row[column]) for row in rows if column in row]
    return Series(name=name, x=[x for x, _ in points], y=[y for _, y in points], is_noisy=is_noisy)
