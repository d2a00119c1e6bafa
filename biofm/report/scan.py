"""Scans: a heat map of the scores of all single substitutions of a protein."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from biofm.report.figure import ACROSS_ZERO, new_figure, shorten, write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

GROUPS = {
    "special": "GPC",
    "aliphatic": "AVLIM",
    "aromatic": "FYW",
    "polar": "STNQ",
    "positive": "HKR",
    "negative": "DE",
}
"""The standard amino acids in the order of the figure, from top to bottom."""

ORDER = "".join(GROUPS.values())

# (longest protein, residues in a row): the picture is about as high as it is wide.
ROW_LENGTHS = ((400, 100), (900, 150), (10**9, 200))

CELL_INCH = 0.1
ROW_INCH = len(ORDER) * CELL_INCH
LEFT_INCH, RIGHT_INCH = 0.95, 0.25
TOP_INCH, GAP_INCH, BOTTOM_INCH = 0.5, 0.48, 1.55
LEAST_WIDTH_INCH = 4.2
BAR_INCH = (2.7, 0.1)
BAR_BOTTOM_INCH, LINE_INCH = 0.97, 0.13
LONGEST_TITLE = 60

UNSCANNED = "0.75"  # grey of residues without scores
ONE_SIGN_SHARE = 0.9  # with more scores on one side of 0, a note says that 0 divides little
SHOWN_SHARE = 0.99  # of the scores lie within the range of the colours; the few beyond take the last colour


def draw_scan(
    sequence: str,
    scores: NDArray[np.float32],
    residues: str,
    first_position: int,
    title: str,
    handle: BinaryIO,
    suffix: str,
    *,
    score_name: str = "score (nats)",
    models: Sequence[str] = (),
) -> None:
    """Draw the scores with the residues from left to right, in rows, and the amino acids from top to bottom,
    by their chemistry.

    Colours change at 0. A dot marks the wild type.

    Args:
        sequence: The wild type.
        scores: Score of each residue of the sequence (rows) and each amino acid (columns); nan if there is
            none.
        residues: Letters of the amino acids, in the order of the columns.
        first_position: Number of the first residue in the user's numbering.
        title: Title of the figure.
        handle: Opened file that the figure is written to.
        suffix: Format of the figure: .png, .svg or .pdf.
        score_name: Name of the score with its unit, which the colour bar shows.
        models: Names of the models behind the figure; a demonstration model is named in a corner.
    """
    from matplotlib.colors import Normalize  # takes 0.5 s to import

    grid = scores[:, [residues.index(residue) for residue in ORDER]].T  # (amino acids, residues)
    per_row = _row_length(len(sequence))
    starts = range(0, len(sequence), per_row)
    known = grid[np.isfinite(grid) & (grid != 0)]
    limit = float(np.quantile(np.abs(known), SHOWN_SHARE)) if len(known) else 1.0
    norm = Normalize(-limit, limit)
    figure, height_inch = _sheet(min(per_row, len(sequence)), len(starts))
    for row, start in enumerate(starts):
        part = sequence[start : start + per_row]
        bottom_inch = height_inch - TOP_INCH - row * GAP_INCH - (row + 1) * ROW_INCH
        axes = _add_axes(figure, LEFT_INCH, bottom_inch, len(part) * CELL_INCH, ROW_INCH)
        image = _draw_row(axes, part, grid[:, start : start + per_row], norm)
        _label(axes, part, first_position + start)
    axes.set_xlabel("residue number", fontsize=7, labelpad=2)
    _draw_bar(figure, image, is_clipped=bool((np.abs(known) > limit).any()))
    _write_below(figure, [score_name, "a dot marks the wild type, which has 0", *_notes(known, limit)])
    figure.text(
        LEFT_INCH / figure.get_figwidth(), 1 - 0.12 / height_inch, shorten(title, LONGEST_TITLE),
        va="top", fontsize=9, parse_math=False,
    )  # fmt: skip
    write_figure(figure, handle, suffix, models)


def _row_length(n_residues: int) -> int:
    """Return the number of residues in a row of the picture: a multiple of ten, with rows as equal as
    possible.
    """
    longest = next(length for limit, length in ROW_LENGTHS if n_residues <= limit)
    n_rows = -(-n_residues // longest)
    return min(longest, -(-n_residues // (10 * n_rows)) * 10)


def _sheet(n_columns: int, n_rows: int) -> tuple["Figure", float]:
    """Return an empty figure for this many columns and rows, and its height in inches."""
    width_inch = max(LEAST_WIDTH_INCH, LEFT_INCH + n_columns * CELL_INCH + RIGHT_INCH)
    height_inch = TOP_INCH + n_rows * (ROW_INCH + GAP_INCH) - GAP_INCH + BOTTOM_INCH
    figure = new_figure(width_inch, height_inch)
    figure.set_layout_engine("none")  # cells have the same size in every figure
    return figure, height_inch


def _add_axes(figure: "Figure", left: float, bottom: float, width: float, height: float) -> "Axes":
    """Add axes at a place given in inches."""
    sheet_width, sheet_height = figure.get_size_inches()
    return figure.add_axes(
        (left / sheet_width, bottom / sheet_height, width / sheet_width, height / sheet_height)
    )


def _draw_row(axes: "Axes", part: str, grid: NDArray[np.float32], norm: "Normalize") -> "AxesImage":
    """Draw one row of the heat map."""
    axes.set_facecolor(UNSCANNED)
    image = axes.imshow(grid, cmap=ACROSS_ZERO, norm=norm, aspect="auto", interpolation="none")
    wild = [(x, ORDER.index(residue)) for x, residue in enumerate(part) if residue in ORDER]
    axes.scatter([x for x, _ in wild], [y for _, y in wild], s=2.5, color="black", linewidths=0)
    edges = np.cumsum([len(group) for group in GROUPS.values()])[:-1] - 0.5
    axes.hlines(edges, -0.5, len(part) - 0.5, color="0.35", linewidth=0.4)
    return image


def _label(axes: "Axes", part: str, first_position: int) -> None:
    """Label one row: positions below, the sequence above, amino acids and their groups at the left."""
    tens = [x for x in range(len(part)) if (first_position + x) % 10 == 0]
    ticks = tens if tens and tens[0] == 0 else [0, *(x for x in tens if x > 3)]
    axes.set_xticks(ticks, [str(first_position + x) for x in ticks])
    axes.set_yticks(range(len(ORDER)), list(ORDER), family="monospace")
    axes.tick_params(length=2, width=0.5, pad=1.5, labelsize=6)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_linewidth(0.5)
    for x, residue in enumerate(part):
        axes.text(x, -0.8, residue, ha="center", va="bottom", fontsize=5, family="monospace")
    axes.annotate(
        "amino acid", (0, 0.5), (-60, 0), xycoords="axes fraction", textcoords="offset points",
        ha="center", va="center", rotation=90, fontsize=7,
    )  # fmt: skip
    first = 0
    for name, group in GROUPS.items():
        middle = first + (len(group) - 1) / 2
        axes.annotate(
            name, (0, middle), (-14, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="center", fontsize=6, color="0.4",
        )  # fmt: skip
        first += len(group)


def _draw_bar(figure: "Figure", image: "AxesImage", *, is_clipped: bool) -> None:
    """Draw the colour bar below the rows, with the meaning of its ends."""
    axes = _add_axes(figure, LEFT_INCH, BAR_BOTTOM_INCH, *BAR_INCH)
    extend = "both" if is_clipped else "neither"
    bar = figure.colorbar(image, cax=axes, orientation="horizontal", extend=extend)
    bar.ax.tick_params(length=2, width=0.5, pad=1.5, labelsize=6)
    bar.outline.set_linewidth(0.5)
    for x, side, text in (
        (0, "left", "red: less likely than the wild type"),
        (1, "right", "blue: more likely"),
    ):
        bar.ax.text(x, 1.3, text, transform=bar.ax.transAxes, ha=side, va="bottom", fontsize=6)


def _notes(known: NDArray[np.float32], limit: float) -> list[str]:
    """Return what to know before comparing colours: their range, and whether most scores have one sign."""
    notes = [f"the colours reach from {-limit:.2g} to {limit:.2g}, in this picture alone"]
    share = float((known < 0).mean()) if len(known) else 0.5
    if max(share, 1 - share) > ONE_SIGN_SHARE:
        side = "below" if share > 0.5 else "above"
        percent = f"{math.floor(100 * max(share, 1 - share))} %"
        notes.append(f"{percent} of the scores are {side} 0: compare them with each other")
    return notes


def _write_below(figure: "Figure", lines: Sequence[str]) -> None:
    """Write lines below the colour bar."""
    width_inch, height_inch = figure.get_size_inches()
    for number, line in enumerate(lines):
        top = (BAR_BOTTOM_INCH - 0.2 - number * LINE_INCH) / height_inch
        figure.text(LEFT_INCH / width_inch, top, line, va="top", fontsize=7, parse_math=False)
