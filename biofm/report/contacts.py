"""Contact maps: a figure that shows the predicted contacts above those of a structure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.report.figure import FROM_ZERO, new_figure, shorten, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

    from biofm.evaluation import StructureContacts

LEAST_INCH, MOST_INCH = 6.0, 16.0
RESIDUES_PER_INCH = 120  # each residue keeps a pixel, up to 1,900 residues
LONGEST_TITLE = 60


def draw_contacts(
    title: str,
    probabilities: NDArray[np.float32],
    truth: "StructureContacts | None",
    min_separation: int,
    handle: BinaryIO,
    suffix: str,
    *,
    models: Sequence[str] = (),
) -> None:
    """Draw the predicted probabilities from white to dark.

    With ``truth`` the probabilities fill the upper triangle, and the contacts of the structure fill the lower
    one.

    Args:
        title: Title, usually the id of the protein; a long one is cut.
        probabilities: Probability of a contact for each pair of residues; symmetric.
        truth: Contacts of a structure; None draws the prediction in both triangles.
        min_separation: Least separation along the chain, in residues. Closer pairs stay white.
        handle: Opened file that the figure is written to.
        suffix: Format of the figure: .png, .svg or .pdf.
        models: Names of the models behind the figure; a demonstration model is named in a corner.
    """
    n_residues = len(probabilities)
    far_below = np.tri(n_residues, k=-min_separation, dtype=bool)
    side_inch = min(max(LEAST_INCH, n_residues / RESIDUES_PER_INCH), MOST_INCH)
    figure = new_figure(side_inch + 1.2, side_inch)
    axes = figure.subplots()
    lines = [shorten(title, LONGEST_TITLE)]
    if truth is not None:
        _draw_truth(axes, truth, far_below)
        lines.append("above the diagonal: predicted; below: in the structure (grey: residues missing there)")
    shown = far_below.T if truth is not None else far_below | far_below.T
    image = _show(axes, probabilities, shown, FROM_ZERO, 1)
    axes.set_xlabel("residue number")
    axes.set_ylabel("residue number")
    axes.set_title("\n".join(lines), parse_math=False, fontsize="medium")
    figure.colorbar(image, ax=axes, label="predicted probability of a contact (darker is higher)", shrink=0.8)
    write_figure(figure, handle, suffix, models)


def _draw_truth(axes: "Axes", truth: "StructureContacts", far_below: NDArray[np.bool_]) -> None:
    """Draw the structure's contacts in black below the diagonal, on grey where the structure shows no
    residue.
    """
    missing = np.ones(len(far_below), dtype=bool)
    missing[truth.places] = False
    grey = np.tril(missing[:, None] | missing)
    _show(axes, grey, grey, "Greys", 8)
    touch = np.zeros_like(far_below)
    touch[np.ix_(truth.places, truth.places)] = truth.touch
    touch &= far_below
    _show(axes, touch, touch, "Greys", 1)
    axes.axline((0.5, 0.5), slope=1, color="0.6", linewidth=0.8)


def _show(
    axes: "Axes", values: NDArray[np.generic], shown: NDArray[np.bool_], colours: str, darkest: float
) -> "AxesImage":
    """Show values as pixels, one for each pair of residues, counted from 1 at the top left. What is not shown
    stays transparent.
    """
    edges = (0.5, len(values) + 0.5, len(values) + 0.5, 0.5)
    masked = np.ma.masked_array(values, ~shown)
    return axes.imshow(masked, cmap=colours, vmin=0, vmax=darkest, extent=edges)
