"""A map of which residues touch: predicted, and beside it in a structure."""

from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.report.figure import new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from biofm.evaluation.contacts import StructureContacts

SIDE_INCH = 6.0


def draw_contacts(
    title: str,
    probabilities: NDArray[np.float32],
    truth: "StructureContacts | None",
    min_separation: int,
    handle: BinaryIO,
    suffix: str,
) -> None:
    """Probabilities (residues, residues) from white to dark, pairs nearer than ``min_separation`` left white.

    With ``truth`` they fill the upper triangle alone, and the lower one shows the structure's contacts.
    """
    n_residues = len(probabilities)
    far_below = np.tri(n_residues, k=-min_separation, dtype=bool)
    far = far_below | far_below.T
    figure = new_figure(SIDE_INCH + 1.2, SIDE_INCH)
    axes = figure.subplots()
    if truth is not None:
        far = far_below.T
        _draw_truth(axes, truth, n_residues, min_separation)
    shown = np.ma.masked_array(probabilities, ~far)
    image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=1, extent=_edges(n_residues))
    axes.set_xlabel("residue")
    axes.set_ylabel("residue")
    axes.set_title(title, parse_math=False)
    figure.colorbar(image, ax=axes, label="predicted probability of a contact", shrink=0.8)
    write_figure(figure, handle, suffix)


def _draw_truth(axes: "Axes", truth: "StructureContacts", n_residues: int, min_separation: int) -> None:
    """The structure's contacts as black squares below the diagonal, on grey where it shows no residue."""
    missing = np.ones(n_residues, dtype=bool)
    missing[truth.places] = False
    grey = np.tril(missing[:, None] | missing)
    axes.imshow(np.ma.masked_array(grey, ~grey), cmap="Greys", vmin=0, vmax=8, extent=_edges(n_residues))
    row, column = np.nonzero(np.tril(truth.touch))
    i, j = truth.places[row] + 1, truth.places[column] + 1
    far = i - j >= min_separation
    side_points = max(1.0, 0.75 * 72 * SIDE_INCH / n_residues)
    axes.scatter(j[far], i[far], s=side_points**2, marker="s", color="black", linewidths=0)
    axes.axline((0.5, 0.5), slope=1, color="0.6", linewidth=0.8)
    axes.text(0.98, 0.98, "prediction", transform=axes.transAxes, ha="right", va="top", color="0.3")
    axes.text(0.02, 0.02, "structure", transform=axes.transAxes, ha="left", va="bottom", color="0.3")


def _edges(n_residues: int) -> tuple[float, float, float, float]:
    """Of a picture whose pixels are residues, counted from 1, the first above."""
    return (0.5, n_residues + 0.5, n_residues + 0.5, 0.5)
