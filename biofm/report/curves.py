"""Curves of a run: values that were measured repeatedly while it went on, such as the loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.report.figure import new_figure, printable, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# Distinct to readers with any colour vision, and dark enough on white (contrast 3:1 or more).
COLOURS = ("#0f6f83", "#c2571a", "#6a5acd", "#3f7f2f", "#b03060")
INK, GRID = "#4b555d", "#dfe3e6"
DASHES = ((5, 3), (1.5, 2), (8, 2, 1.5, 2))
PALE = 0.3  # of the ink of a noisy series as it was measured

FEWEST_TO_SMOOTH = 40
SMOOTHED_SHARE = 25  # a running mean over one in so many of the points


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Values ``y`` at ``x``. A noisy one is drawn pale, with its running mean over it."""

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
    """Series that share their axes. ``levels`` are values to compare with, the same at every x; ``note`` is
    what a page says below the figure.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    levels: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        assert len(self.series) + len(self.levels) <= len(COLOURS), "more curves than can be told apart"

    def names(self) -> list[tuple[str, str, bool]]:
        """Name, colour and whether it is a level, in the order in which they are drawn."""
        names = [(series.name, False) for series in self.series] + [(name, True) for name in self.levels]
        return [(name, COLOURS[number], is_level) for number, (name, is_level) in enumerate(names)]


def draw_curves(curves: Curves, handle: BinaryIO, suffix: str) -> None:
    """A figure with its legend: noisy series pale, with their running mean; levels dashed."""
    figure = new_figure(7, 4)
    axes = figure.subplots()
    lines = plot(curves, axes)
    axes.set_title(printable(curves.title), parse_math=False, fontsize="medium", loc="left")
    if len(lines) > 1:
        legend = axes.legend(lines, map(str, range(len(lines))), frameon=False)
        for text, (name, _, _) in zip(legend.get_texts(), curves.names(), strict=True):
            text.set_parse_math(False)
            text.set_text(printable(name))  # afterwards: a name that begins with _ would be left out
    write_figure(figure, handle, suffix)


def plot(curves: Curves, axes: "Axes") -> "list[Line2D]":
    """Draw into ``axes``, without title and legend; a line for each of ``names``."""
    names = curves.names()
    lines = [
        _plot_series(axes, series, colour)
        for series, (_, colour, _) in zip(curves.series, names, strict=False)
    ]
    levels = names[len(lines) :]
    for (_, colour, _), value, dashes in zip(levels, curves.levels.values(), DASHES * 2, strict=False):
        lines.append(axes.axhline(value, color=colour, linewidth=1.4, linestyle=(0, dashes)))
    _dress(axes)
    axes.set_xlabel(printable(curves.x_label), parse_math=False, color=INK)
    axes.set_ylabel(printable(curves.y_label), parse_math=False, color=INK)
    return lines


def running_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Over a window around each value, cut at the ends; the values themselves where they are few."""
    width = window(len(values))
    ones = np.ones(width)
    counts = np.convolve(np.ones(len(values)), ones, "same")
    mean: NDArray[np.float64] = np.convolve(values, ones, "same") / counts
    return mean


def window(n_values: int) -> int:
    """How many values the running mean is over; 1 where they are too few to smooth."""
    return 1 if n_values < FEWEST_TO_SMOOTH else 2 * (n_values // (2 * SMOOTHED_SHARE)) + 1


def _plot_series(axes: "Axes", series: Series, colour: str) -> "Line2D":
    x, y = series.finite()
    if len(x) == 1:
        (line,) = axes.plot(x, y, "o", color=colour, markersize=4)
        return line
    if series.is_noisy and window(len(x)) > 1:
        axes.plot(x, y, color=colour, linewidth=0.9, alpha=PALE)
        y = running_mean(y)
    (line,) = axes.plot(x, y, color=colour, linewidth=1.8)
    return line


def _dress(axes: "Axes") -> None:
    """Little ink: two spines fewer, light lines across, numbers with their thousands apart."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelcolor=INK)
    axes.margins(x=0.01)
    axes.locator_params(axis="both", nbins=6)
    axes.ticklabel_format(style="plain", useOffset=False)  # as many decimals at each tick
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        if max(map(abs, limits)) >= 1000:
            axis.set_major_formatter("{x:,.10g}")
