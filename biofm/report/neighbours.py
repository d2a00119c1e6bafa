"""Similarity of embeddings: a heat map in which similar rows lie side by side."""

from collections import Counter
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.report.figure import ACROSS_ZERO, new_figure, shorten, write_figure

MOST_DRAWN = 1_000  # with more rows, two would share a pixel
MOST_LABELS = 60  # more names are too small to read
LONGEST_LABEL = 30
MOST_OPTIMAL = 500  # the best order takes seconds for 1,000 leaves, and minutes for 2,000


def draw_neighbours(
    labels: Sequence[str],
    similarity: NDArray[np.float32],
    handle: BinaryIO,
    suffix: str,
    n_rows: int | None = None,
    *,
    items: str = "rows",
    models: Sequence[str] = (),
) -> None:
    """Draw the similarities as a heat map in which similar rows lie side by side.

    Args:
        labels: Name of each row. Where several rows share a name, the figure adds the number of the row.
        similarity: Cosine of each pair of rows, from -1 to 1.
        handle: Opened file that the figure is written to.
        suffix: Format of the figure: .png, .svg or .pdf.
        n_rows: Number of rows in the file, of which these are an evenly spaced sample; the title names it.
            None if all are here.
        items: Word for the rows, for example "proteins".
        models: Names of the models behind the figure, which the title names; empty ones are left out. A
            demonstration model is named in a corner too.
    """
    order = _leaf_order(similarity)
    side = min(4 + 0.3 * len(labels), 16)
    figure = new_figure(side + 1.5, side)
    axes = figure.subplots()
    image = axes.imshow(similarity[np.ix_(order, order)], cmap=ACROSS_ZERO, vmin=-1, vmax=1)
    if len(labels) <= MOST_LABELS:
        shown = _distinct([shorten(label, LONGEST_LABEL) for label in labels])
        names = [shown[i] for i in order]
        axes.set_xlabel(items)
        axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
        axes.set_yticks(range(len(names)), names, parse_math=False)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"{len(labels):,} {items}, too many to name")
    axes.set_ylabel(items)
    title = "Similarity of the embeddings"
    if named := ", ".join(filter(None, models)):
        title += f" by {named}"
    if n_rows is not None and n_rows > len(labels):
        title += f"\n{len(labels):,} of {n_rows:,} {items}, evenly spaced in the file"
    title += f"\nsimilar {items} lie side by side, not in the order of the file"
    axes.set_title(title, parse_math=False, fontsize="medium")
    label = f"cosine similarity (mean of all {items} subtracted)\nblue is similar, red is opposite"
    figure.colorbar(image, ax=axes, label=label, shrink=0.8)
    write_figure(figure, handle, suffix, models)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return the names, with the number of the row behind those that several rows share."""
    counts = Counter(names)
    return [
        name if counts[name] == 1 else f"{name} (row {number})" for number, name in enumerate(names, start=1)
    ]


def _leaf_order(similarity: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the rows in the order of the leaves of an average-linkage tree."""
    from scipy.cluster.hierarchy import leaves_list, linkage  # slow to import
    from scipy.spatial.distance import squareform

    distance = np.clip(1 - (similarity + similarity.T) / 2, 0, None).astype(np.float64)
    np.fill_diagonal(distance, 0)
    is_small = len(distance) <= MOST_OPTIMAL
    order: NDArray[np.intp] = leaves_list(linkage(squareform(distance), "average", optimal_ordering=is_small))
    return order
