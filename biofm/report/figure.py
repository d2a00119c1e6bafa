"""Basics of all figures: they need no display, and are written as PNG, SVG or PDF."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

from biofm.core.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
# One convention of colours for all figures, which each colour bar states: the higher a value, the darker its
# blue. Where values lie on both sides of 0, those below it are the redder the lower they are.
FROM_ZERO, ACROSS_ZERO = "Blues", "RdBu"
NOTE = "0.4"  # grey, dark enough to read on white

# Characters that XML, HTML or UTF-8 do not allow become the replacement character.
_UNPRINTABLE = dict.fromkeys(
    {*range(0x20), 0x7F, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF} - {*map(ord, "\t\n\r")}, "\ufffd"
)


def check_figure_suffix(path: PurePath) -> str:
    """Return the suffix of a path in lower case.

    Args:
        path: Path of the figure.

    Raises:
        OutputError: The suffix is not one of .png, .svg and .pdf.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise OutputError(
            f"{suffix or 'no suffix'} is not a format of figures",
            where=str(path),
            remedy=f"End in {', '.join(FORMATS)}",
        )
    return suffix


def new_figure(width_inch: float, height_inch: float) -> "Figure":
    """Return an empty figure that needs no display."""
    from matplotlib.figure import Figure  # takes 0.5 s to import

    return Figure(figsize=(width_inch, height_inch), layout="constrained")


def name_demonstrations(models: Iterable[str]) -> str:
    """Return a clause that names the demonstration models among ``models``; empty if there are none.

    The models that come with biofm show how it works, and are too small for research.
    """
    names = dict.fromkeys(models)
    if not names:
        return ""
    from biofm.models import bundled_models  # brings torch, which drawing alone does not need

    bundled = bundled_models()
    found = [name for name in names if name in bundled]
    verb = "is a demonstration model" if len(found) == 1 else "are demonstration models"
    return f"{' and '.join(found)} {verb}" if found else ""


def write_figure(figure: "Figure", handle: BinaryIO, suffix: str, models: Iterable[str] = ()) -> None:
    """Write a figure to an opened file, in the format of this suffix, and name demonstration models in its
    corner.
    """
    if note := name_demonstrations(models):
        figure.supxlabel(note, x=0.99, ha="right", fontsize=7, color=NOTE)
    figure.savefig(handle, format=suffix.removeprefix("."), dpi=150)


def printable(text: str) -> str:
    """Return ``text`` with the characters that XML, HTML or UTF-8 cannot hold replaced by U+FFFD."""
    return text.translate(_UNPRINTABLE)


def shorten(text: str, most: int) -> str:
    """Return ``text`` as a figure can show it, cut behind ``most`` characters: longer ones leave no room."""
    return printable(text if len(text) <= most else f"{text[:most]}…")
