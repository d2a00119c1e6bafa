"""Confusion matrices: a figure that shows which class was predicted for which true class."""

from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.report.figure import FROM_ZERO, new_figure, shorten, write_figure

MOST_NUMBERS = 12  # with more classes the counts do not fit into the cells
MOST_NAMES = 60
CELL_INCH, LEAST_INCH, MOST_INCH = 0.5, 2.4, 9.0
LONGEST_NAME = 24


def draw_confusion(
    counts: NDArray[np.int64],
    classes: Sequence[str],
    handle: BinaryIO,
    suffix: str,
    *,
    models: Sequence[str] = (),
) -> None:
    """Draw a confusion matrix. The darker a cell, the larger its share of its row, which is the true class.

    Args:
        counts: Number of cases of class i (row) that were predicted as class j (column).
        classes: Names of the classes.
        handle: Opened file that the figure is written to.
        suffix: Format of the figure: .png, .svg or .pdf.
        models: Names of the models behind the figure; a demonstration model is named in a corner.
    """
    n = len(classes)
    side = min(max(LEAST_INCH, CELL_INCH * n), MOST_INCH)
    figure = new_figure(side + 2.2, side + 1.2)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap=FROM_ZERO, vmin=0, vmax=1)
    if n <= MOST_NUMBERS:
        for i, j in np.ndindex(n, n):
            colour = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=colour, fontsize=8)
    names = [shorten(name, LONGEST_NAME) for name in classes] if n <= MOST_NAMES else []
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted class" if names else f"predicted class ({n:,} classes, too many to name)")
    axes.set_ylabel("true class")
    label = "share of the cases of the true class\n(darker is higher)"
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    write_figure(figure, handle, suffix, models)
