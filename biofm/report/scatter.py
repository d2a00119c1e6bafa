"""Scatter plots: figures that show scores or predictions against measurements, a panel for each score.

The measurements always lie on the horizontal axis, and the scores or predictions on the vertical one.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats
from biofm_datasets.text import format_count

from biofm.report.figure import new_figure, shorten, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection

MOST_COLUMNS = 3
PANEL_INCH = 3.4
MOST_POINTS = 500  # more rows are drawn as a density
LONGEST_NAME = 40
N_BINS = 50  # hexagons across a panel
INK = "0.25"
SHADES = ["#bdd7ec", "#4292c6", "#08306b"]  # from one row to the most; the lightest still shows on white


class ScatterPanel(NamedTuple):
    """Holds the values of one panel, row by row.

    Attributes:
        name: Title of the panel.
        score: Score or prediction of each row.
        measured: Measurement of each row.
        spearman: Rank correlation of the two; None if it is not defined.
        interval: Bounds of the 95 % interval of ``spearman``; None if they are not known.
        half_width: Half the width of the prediction interval of each row, in the unit of the measurement;
            None without intervals.
    """

    name: str
    score: Floats
    measured: Floats
    spearman: float | None
    interval: tuple[float, float] | None = None
    half_width: Floats | None = None


def draw_scatter(
    panels: Sequence[ScatterPanel],
    measured_name: str,
    handle: BinaryIO,
    suffix: str,
    *,
    score_name: str = "score",
    has_diagonal: bool = False,
    interval_name: str = "prediction interval",
    models: Sequence[str] = (),
) -> None:
    """Draw each row as a point. More than 500 rows are drawn as hexagons, which are darker where more rows
    lie (logarithmic scale).

    Args:
        panels: The panels, at least one.
        measured_name: Label of the horizontal axis.
        handle: Opened file that the figure is written to.
        suffix: Format of the figure: .png, .svg or .pdf.
        score_name: Label of the vertical axis.
        has_diagonal: Whether scores predict the measurements themselves. Then both axes have one scale, and
            the line y = x is drawn with the prediction intervals.
        interval_name: Name of the prediction intervals in the legend.
        models: Names of the models behind the figure; a demonstration model is named in a corner.
    """
    n_columns = min(MOST_COLUMNS, len(panels))
    n_lines = math.ceil(len(panels) / n_columns)
    figure = new_figure(PANEL_INCH * n_columns + 1, PANEL_INCH * n_lines + 0.5)
    grid = figure.subplots(n_lines, n_columns, squeeze=False, sharex=not has_diagonal)
    densities = []
    for number, axes in enumerate(grid.flat):
        if number >= len(panels):
            axes.set_visible(False)
            continue
        densities += _draw_panel(axes, panels[number], measured_name)
        if has_diagonal:
            _draw_diagonal(axes, panels[number], interval_name)
        if number % n_columns == 0:
            axes.set_ylabel(shorten(score_name, LONGEST_NAME), parse_math=False)
    if densities:
        _share_shades(densities)
        label = "rows in a hexagon (darker is more)"
        figure.colorbar(densities[0], ax=grid, label=label, format="%d", shrink=0.6, aspect=30, pad=0.02)
    write_figure(figure, handle, suffix, models)


def _draw_panel(axes: "Axes", panel: ScatterPanel, measured_name: str) -> "list[PolyCollection]":
    """Draw the rows of one panel, and return its density if it has one."""
    spearman = "not defined" if panel.spearman is None else f"{panel.spearman:.3f}"
    name, rows = shorten(panel.name, LONGEST_NAME), format_count(len(panel.score), "row")
    title = f"{name}\nSpearman {spearman}, {rows}"
    if panel.interval is not None:
        from biofm.evaluation import FEWEST_FOR_INTERVAL  # brings torch, which drawing alone does not need

        few = len(panel.score) < FEWEST_FOR_INTERVAL
        low, high = panel.interval
        title += f"\n95 % interval {low:.3f} to {high:.3f}{', unreliable' * few}"
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.set_xlabel(shorten(measured_name, LONGEST_NAME), parse_math=False)
    axes.tick_params(labelbottom=True)  # the panel below, which shares the axis, may be empty
    axes.spines[["top", "right"]].set_visible(False)
    if len(panel.score) > MOST_POINTS:
        return [axes.hexbin(panel.measured, panel.score, gridsize=N_BINS, mincnt=1, linewidths=0.1)]
    axes.scatter(panel.measured, panel.score, s=14, alpha=0.6, color=SHADES[1], linewidths=0)
    return []


def _draw_diagonal(axes: "Axes", panel: ScatterPanel, interval_name: str) -> None:
    """Give both axes one scale, and draw the line y = x and the prediction intervals."""
    values = np.concatenate([panel.score, panel.measured])
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    ends = np.array([low - margin, high + margin])
    axes.plot(ends, ends, color=INK, linewidth=0.9, label="y = x")
    if panel.half_width is not None and np.isfinite(panel.half_width).all():
        width = float(panel.half_width.mean())
        of = "" if np.ptp(panel.half_width) <= 1e-6 * width else "mean "
        for number, shift in enumerate((-width, width)):
            label = "" if number else f"{of}{interval_name}"
            axes.plot(ends, ends + shift, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label=label)
    axes.set(xlim=ends, ylim=ends)
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize=7, loc="upper left", handlelength=1.8)


def _share_shades(densities: "Sequence[PolyCollection]") -> None:
    """Give all panels one scale of shades, so that they can be compared."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    most = max(float(np.max(np.asarray(density.get_array()))) for density in densities)
    norm, shades = LogNorm(1, max(most, 2)), LinearSegmentedColormap.from_list("rows", SHADES)
    for density in densities:
        density.set(norm=norm, cmap=shades)
