"""Curves of a run: figures of values that were measured repeatedly during the run, for example the loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.report.figure import new_figure, shorten, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# The colours are distinct with any colour vision, and dark enough on white (contrast 3:1 or more).
COLOURS = ("#0f6f83", "#c2571a", "#6a5acd", "#3f7f2f", "#b03060")
INK, GRID = "#4b555d", "#dfe3e6"
LONGEST_TITLE, LONGEST_NAME = 80, 70
DASHES = ((5, 3), (1.5, 2), (8, 2, 1.5, 2))
PALE = 0.3  # opacity of the values of a noisy series

FEWEST_TO_DRAW = 3  # one or two points make no curve, and are stated as numbers
MOST_MARKED = 20  # a series of so few points shows where they are
FEWEST_TO_SMOOTH = 40
SMOOTHED_SHARE = 25  # the window of the running mean is this part of the points


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Holds one curve: values ``y`` at the places ``x``.

    Attributes:
        name: Name in the legend.
        x: Place of each point on the horizontal axis, for example the step.
        y: Value of each point. Points that are not finite are not drawn.
        is_noisy: Whether to draw the values pale, with their running mean over them.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    is_noisy: bool = False

    def __post_init__(self) -> None:
        assert len(self.x) == len(self.y), f"{self.name}: {len(self.x)} places, {len(self.y)} values"

    def finite(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the points whose values are finite."""
        x, y = np.asarray(self.x, np.float64), np.asarray(self.y, np.float64)
        kept = np.isfinite(x) & np.isfinite(y)
        return x[kept], y[kept]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Holds series that share their axes.

    Attributes:
        title: Title of the figure.
        x_label: Label of the horizontal axis, with its unit.
        y_label: Label of the vertical axis, with its unit.
        series: The curves.
        levels: Values to compare with, by their names; drawn as dashed horizontal lines.
        note: Text that a page shows below the figure.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    levels: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        assert len(self.series) + len(self.levels) <= len(COLOURS), "more curves than can be told apart"

    @property
    def are_drawn(self) -> bool:
        """Whether a series has enough points for a figure; otherwise a page states their values."""
        return any(len(series.finite()[0]) >= FEWEST_TO_DRAW for series in self.series)

    def names(self) -> list[tuple[str, str, bool]]:
        """Return the name, the colour and whether it is a level of every curve, in the order of drawing."""
        names = [(series.name, False) for series in self.series] + [(name, True) for name in self.levels]
        return [(name, COLOURS[number], is_level) for number, (name, is_level) in enumerate(names)]


def draw_curves(curves: Curves, handle: BinaryIO, suffix: str, *, models: Sequence[str] = ()) -> None:
    """Draw curves with their legend: noisy series pale with their running mean, levels dashed.

    A series of few points has markers on them.

    Args:
        curves: What is drawn.
        handle: Opened file that the figure is written to.
        suffix: Format of the figure: .png, .svg or .pdf.
        models: Names of the models behind the figure; a demonstration model is named in a corner.
    """
    figure = new_figure(7, 4)
    axes = figure.subplots()
    lines = plot(curves, axes)
    axes.set_title(shorten(curves.title, LONGEST_TITLE), parse_math=False, fontsize="medium", loc="left")
    if len(lines) > 1:
        legend = axes.legend(lines, map(str, range(len(lines))), frameon=False)
        for text, (name, _, _) in zip(legend.get_texts(), curves.names(), strict=True):
            text.set_parse_math(False)
            # set afterwards: matplotlib leaves out names that begin with _
            text.set_text(shorten(name, LONGEST_NAME))
    write_figure(figure, handle, suffix, models)


def plot(curves: Curves, axes: "Axes") -> "list[Line2D]":
    """Draw curves into ``axes`` without title and legend, and return a line for each of their names."""
    names = curves.names()
    lines = [
        _plot_series(axes, series, colour)
        for series, (_, colour, _) in zip(curves.series, names, strict=False)
    ]
    levels = names[len(lines) :]
    for (_, colour, _), value, dashes in zip(levels, curves.levels.values(), DASHES * 2, strict=False):
        lines.append(axes.axhline(value, color=colour, linewidth=1.4, linestyle=(0, dashes)))
    _dress(axes, is_whole=all(float(x).is_integer() for series in curves.series for x in series.finite()[0]))
    axes.set_xlabel(shorten(curves.x_label, LONGEST_NAME), parse_math=False, color=INK)
    axes.set_ylabel(shorten(curves.y_label, LONGEST_NAME), parse_math=False, color=INK)
    return lines


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over a window around each value. At the ends the window is cut; a few values stay as
    they are.
    """
    width = window(len(values))
    ones = np.ones(width)
    counts = np.convolve(np.ones(len(values)), ones, "same")
    mean: NDArray[np.float64] = np.convolve(values, ones, "same") / counts
    return mean


def window(n_values: int) -> int:
    """Return how many values the running mean covers; 1 if there are too few values to smooth."""
    return 1 if n_values < FEWEST_TO_SMOOTH else 2 * (n_values // (2 * SMOOTHED_SHARE)) + 1


def _plot_series(axes: "Axes", series: Series, colour: str) -> "Line2D":
    """Draw one series, and return the line that stands for it in the legend."""
    x, y = series.finite()
    if series.is_noisy and window(len(x)) > 1:
        axes.plot(x, y, color=colour, linewidth=0.9, alpha=PALE)
        y = running_mean(y)
    marker = "o" if len(x) <= MOST_MARKED else ""
    (line,) = axes.plot(x, y, color=colour, linewidth=1.8, marker=marker, markersize=4)
    return line


def _dress(axes: "Axes", *, is_whole: bool) -> None:
    """Format the axes: few spines, light horizontal lines, and commas between thousands."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=INK)
    axes.margins(x=0.01)
    axes.locator_params(axis="y", nbins=6)
    axes.locator_params(axis="x", nbins=6, integer=is_whole)
    axes.ticklabel_format(style="plain", useOffset=False)  # every tick has the same number of decimals
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        if max(map(abs, limits)) >= 1000:
            axis.set_major_formatter("{x:,.10g}")
