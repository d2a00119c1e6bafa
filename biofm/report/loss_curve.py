"""The loss of a training run over its tokens."""

from collections.abc import Mapping, Sequence
from typing import BinaryIO

from biofm.report.figure import new_figure, write_figure


def draw_loss_curve(
    rows: Sequence[Mapping[str, float]], baselines: Mapping[str, float], handle: BinaryIO, suffix: str
) -> None:
    """Loss (nats per masked residue) against tokens seen, with a dashed line for each baseline."""
    figure = new_figure(7, 4)
    axes = figure.subplots()
    axes.plot([row["tokens"] / 1e6 for row in rows], [row["loss"] for row in rows], label="training loss")
    for number, (name, loss) in enumerate(baselines.items(), start=1):
        axes.axhline(loss, linestyle="--", color=f"C{number}", label=name)
    axes.set_xlabel("tokens seen (million)")
    axes.set_ylabel("cross-entropy (nats per masked residue)")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    write_figure(figure, handle, suffix)
