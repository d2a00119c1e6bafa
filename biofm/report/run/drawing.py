"""What matplotlib draws, made a part of a page: its text in the page's font, its colours those of the page by
day and by night, and the places of its points for whoever points at them.
"""

import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from biofm.report.curves import COLOURS, GRID, INK, Curves, plot
from biofm.report.figure import new_figure, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCH, HEIGHT_INCH = 5.2, 3.1
POINTS_PER_INCH = 72  # of an SVG
FONT_POINTS = 11  # so that a phone, where the figure shrinks, still shows more than 9
MOST_POINTS = 400  # that a mouse can find; the line has all

# The colours that matplotlib writes become names, which the page gives their colours.
COLOUR_NAMES = {INK: "muted", GRID: "rule"} | {colour: f"line-{i}" for i, colour in enumerate(COLOURS, 1)}
_REFERENCE = re.compile(r"#([\w-]+)")


def draw_svg(curves: Curves, description: str, prefix: str) -> tuple[Element, dict[str, Any]]:
    """An ``<svg>`` with a ``<desc>``, and where its points lie. Every id in it begins with ``prefix``."""
    import matplotlib  # half a second, paid only where something is drawn

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "biofm", "font.size": FONT_POINTS}):
        figure = new_figure(WIDTH_INCH, HEIGHT_INCH)
        figure.set_dpi(POINTS_PER_INCH)
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        plot(curves, axes)
        drawn = io.BytesIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # an empty one leaves no metadata
        figure.savefig(drawn, format="svg", metadata=nothing)
    svg = ElementTree.fromstring(drawn.getvalue())
    _adapt(svg, prefix)
    svg.attrib = {"viewBox": svg.attrib["viewBox"]}
    desc = Element("desc", id=f"{prefix}-description")
    desc.text = printable(description)
    svg.insert(0, desc)
    return svg, _points(curves, axes)


def _adapt(svg: Element, prefix: str) -> None:
    """Names without namespaces, no comments, only ids that are used, no fonts and no colours."""
    texts = [f"{name} {value}" for one in svg.iter() for name, value in one.attrib.items() if "#" in value]
    used = {id_ for text in texts if "href" in text or "url(" in text for id_ in _REFERENCE.findall(text)}
    for element in svg.iter():
        for style in [child for child in element if _plain(child.tag) == "style"]:
            element.remove(style)
        element.tag = _plain(element.tag)
        element.attrib = {
            _plain(name): _adapt_value(_plain(name), value, prefix)
            for name, value in element.attrib.items()
            if _plain(name) != "id" or value in used
        }
        element.tail = None
        element.text = element.text if element.tag == "text" else None


def _plain(name: str) -> str:
    return name.rpartition("}")[2]


def _adapt_value(name: str, value: str, prefix: str) -> str:
    match name:
        case "id":
            value = f"{prefix}-{value}"
        case "href" | "clip-path":
            value = _REFERENCE.sub(rf"#{prefix}-\1", value)
        case "style":
            parts = (part.strip() for part in value.split(";"))
            value = "; ".join(part for part in parts if not part.startswith("font-family"))
            for colour, of_page in COLOUR_NAMES.items():
                value = value.replace(colour, f"var(--{of_page})")
    return " ".join(value.split())


def _points(curves: Curves, axes: "Axes") -> dict[str, Any]:
    """The points of each series in the drawing, and what they say; some of them, where they are many."""
    height = HEIGHT_INCH * POINTS_PER_INCH
    box = axes.get_window_extent()
    series = []
    for one, (name, colour, _) in zip(curves.series, curves.names(), strict=False):
        x, y = one.finite()
        chosen = np.unique(np.linspace(0, max(0, len(x) - 1), MOST_POINTS).astype(int))[: len(x)]
        places = axes.transData.transform(np.column_stack([x, y]))
        points = [
            [round(places[i, 0], 1), round(height - places[i, 1], 1), f"{x[i]:,.10g}", f"{y[i]:,.5g}"]
            for i in chosen
        ]
        series.append({"name": name, "colour": COLOUR_NAMES[colour], "points": points})
    top, bottom = round(height - box.y1, 1), round(height - box.y0, 1)
    return {"x": curves.x_label, "top": top, "bottom": bottom, "series": series}
