"""The rows of ``metrics.csv`` as curves."""

from collections.abc import Mapping, Sequence

from biofm.report import Curves, Series

Rows = Sequence[Mapping[str, float]]
"""As ``read_metrics`` gives them: a row lacks what it has no value for."""


def curves_of(rows: Rows, loss: str, levels: Mapping[str, float], note: str = "") -> tuple[Curves, ...]:
    """Loss, learning rate, speed, use of the machine and memory over the steps, as far as they were measured.

    ``loss``: what it is, with its unit. ``levels``: losses to compare with. ``note``: what is said below.
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
    """How long the steps took, without what came between them."""
    seconds, tokens_before = 0.0, 0.0
    for row in rows:
        if row.get("tokens_per_second"):
            seconds += (row["tokens"] - tokens_before) / row["tokens_per_second"]
        tokens_before = row["tokens"]
    return seconds


def _single(title: str, y_label: str, series: Series) -> Curves:
    return Curves(title=title, x_label="step", y_label=y_label, series=_found(series))


def _found(*series: Series) -> tuple[Series, ...]:
    return tuple(one for one in series if len(one.x))


def _series(rows: Rows, name: str, column: str, *, scale: float = 1.0, is_noisy: bool = False) -> Series:
    points = [(row["step"], scale * row[column]) for row in rows if column in row]
    return Series(name=name, x=[x for x, _ in points], y=[y for _, y in points], is_noisy=is_noisy)
