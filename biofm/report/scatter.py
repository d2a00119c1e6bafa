"""Scatter plots of scores against measurements, with a panel for each score."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats

from biofm.report.figure import new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection

MOST_COLUMNS = 3
PANEL_INCH = 3.4
MOST_POINTS = 500  # more are drawn as a density
N_BINS = 50  # hexagons across a panel
SHADES = ["#bdd7ec", "#4292c6", "#08306b"]  # from one row to the most; the lightest still shows on white


class ScatterPanel(NamedTuple):
    """Scores and measurements of the same rows. ``spearman`` is None where it is not defined."""

    name: str
    score: Floats
    measured: Floats
    spearman: float | None


def draw_scatter(
    panels: Sequence[ScatterPanel],
    measured_name: str,
    handle: BinaryIO,
    suffix: str,
    *,
    score_name: str = "score",
) -> None:
    """Draw points or, of many rows, hexagons that are darker where more rows lie (on a logarithmic scale)."""
    n_columns = min(MOST_COLUMNS, len(panels))
    n_lines = math.ceil(len(panels) / n_columns)
    figure = new_figure(PANEL_INCH * n_columns + 1, PANEL_INCH * n_lines + 0.3)
    grid = figure.subplots(n_lines, n_columns, squeeze=False, sharey=True)
    densities = []
    for number, axes in enumerate(grid.flat):
        if number >= len(panels):
            axes.set_visible(False)
            continue
        densities += _draw_panel(axes, panels[number], score_name)
        if number % n_columns == 0:
            axes.set_ylabel(measured_name, parse_math=False)
    if densities:
        _share_shades(densities)
        figure.colorbar(
            densities[0], ax=grid, label="rows in a hexagon", format="%d", shrink=0.6, aspect=30, pad=0.02
        )
    write_figure(figure, handle, suffix)


def _draw_panel(axes: "Axes", panel: ScatterPanel, score_name: str) -> "list[PolyCollection]":
    spearman = "not defined" if panel.spearman is None else f"{panel.spearman:.3f}"
    title = f"{panel.name}\nSpearman {spearman}, {len(panel.score):,} rows"
    axes.set_title(title, fontsize=9, parse_math=False)
    axes.set_xlabel(score_name, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    if len(panel.score) > MOST_POINTS:
        return [axes.hexbin(panel.score, panel.measured, gridsize=N_BINS, mincnt=1, linewidths=0.1)]
    axes.scatter(panel.score, panel.measured, s=14, alpha=0.6, color=SHADES[1], linewidths=0)
    return []


def _share_shades(densities: "Sequence[PolyCollection]") -> None:
    """One scale for all panels, so that they can be compared."""
    from matplotlib.colors import LinearSegmentedColormap, LogNorm

    most = max(float(np.max(np.asarray(density.get_array()))) for density in densities)
    norm, shades = LogNorm(1, max(most, 2)), LinearSegmentedColormap.from_list("rows", SHADES)
    for density in densities:
        density.set(norm=norm, cmap=shades)
