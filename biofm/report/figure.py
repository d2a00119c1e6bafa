"""What all our figures share: no screen, and the formats that matplotlib can write."""

from pathlib import PurePath
from typing import TYPE_CHECKING, BinaryIO

from biofm.core.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")

# What neither XML nor HTML allows, and what UTF-8 cannot write, becomes the sign for that.
_UNPRINTABLE = dict.fromkeys(
    {*range(0x20), 0x7F, *range(0xD800, 0xE000), 0xFFFE, 0xFFFF} - {*map(ord, "\t\n\r")}, "\ufffd"
)


def check_figure_suffix(path: PurePath) -> str:
    """The suffix of ``path``. Raises OutputError where no figure can be written under it."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise OutputError(
            f"{suffix or 'no suffix'} is no format for a figure",
            where=str(path),
            remedy=f"End in {', '.join(FORMATS)}",
        )
    return suffix


def new_figure(width_inch: float, height_inch: float) -> "Figure":
    """A figure that needs no display."""
    from matplotlib.figure import Figure  # half a second, paid only where something is drawn

    return Figure(figsize=(width_inch, height_inch), layout="constrained")


def write_figure(figure: "Figure", handle: BinaryIO, suffix: str) -> None:
    figure.savefig(handle, format=suffix.removeprefix("."), dpi=150)


def printable(text: str) -> str:
    """``text`` as a file of any format can hold it."""
    return text.translate(_UNPRINTABLE)
