"""Charts: curves as figures of a page, with a title, a legend, and notes on what is smoothed or left out.

matplotlib draws them. The SVG becomes a part of the page: its text takes the page's font, its colours follow
the page's light and dark themes, and the places of the points are stored for a mouse to find.
"""

import io
import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np

from biofm.report.curves import COLOURS, GRID, INK, Curves, Series, plot, window
from biofm.report.figure import new_figure, printable
from biofm.report.run.markup import Html, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCH, HEIGHT_INCH = 5.2, 3.1
POINTS_PER_INCH = 72  # resolution of SVG
FONT_POINTS = 11  # on a phone, where the figure shrinks, more than 9 remain
MOST_POINTS = 400  # points that a mouse can find; the line has all points

# Colours that matplotlib writes are replaced by names, whose colours the page sets.
COLOUR_NAMES = {INK: "muted", GRID: "rule"} | {colour: f"line-{i}" for i, colour in enumerate(COLOURS, 1)}
_REFERENCE = re.compile(r"#([\w-]+)")


def chart(curves: Curves, number: int) -> Html:
    """Return a ``<figure>``. ``number`` makes its ids unique on the page.

    Where no series has enough points for a figure, their values stand in its place.
    """
    title = f"chart-{number}-title"
    if not curves.are_drawn:
        head = tag("figcaption", tag("h3", curves.title, id=title), class_="chart-head")
        return tag("figure", head, tag("p", _state(curves)), _notes(curves), class_="chart")
    return tag(
        "figure",
        tag("figcaption", tag("h3", curves.title, id=title), _legend(curves), class_="chart-head"),
        tag("div", _plot(curves, f"chart-{number}", title), class_="plot"),
        _notes(curves),
        class_="chart",
    )


def _plot(curves: Curves, prefix: str, title: str) -> Html:
    svg, points = draw_svg(curves, describe(curves), prefix)
    svg.attrib |= {
        "role": "img",
        "aria-labelledby": title,
        "aria-describedby": f"{prefix}-description",
        "data-points": json.dumps(points, separators=(",", ":")),
    }
    return Html(ElementTree.tostring(svg, encoding="unicode"))


def _state(curves: Curves) -> str:
    """Return the values of series that have one or two points, as sentences."""
    said = [
        f"{series.name}: {', '.join(f'{value:,.5g} at {curves.x_label} {at:,.10g}' for at, value in points)}"
        for series in curves.series
        if (points := [*zip(*series.finite(), strict=True)])
    ]
    said += [f"{name}: {value:,.5g}" for name, value in curves.levels.items()]
    return f"Too few points for a curve. The {curves.y_label} is: {'; '.join(said) or 'not known'}."


def describe(curves: Curves) -> str:
    """Return in words what the curves show, for readers who cannot see them."""
    parts = [_describe_series(series, curves.x_label) for series in curves.series]
    parts += [f"{name}: {value:,.5g} throughout" for name, value in curves.levels.items()]
    return f"{curves.y_label} against {curves.x_label}. {'; '.join(parts)}."


def _describe_series(series: Series, x_label: str) -> str:
    x, y = series.finite()
    if not len(x):
        return f"{series.name}: no values"
    low, high = int(y.argmin()), int(y.argmax())
    return (
        f"{series.name}: {y[0]:,.5g} at {x_label} {x[0]:,.10g}, {y[-1]:,.5g} at {x[-1]:,.10g}; "
        f"lowest {y[low]:,.5g} at {x[low]:,.10g}, highest {y[high]:,.5g} at {x[high]:,.10g}"
    )


def _legend(curves: Curves) -> Html:
    """Return the colours and names of the curves; nothing if there is only one curve."""
    if len(curves.names()) < 2:
        return Html("")
    items = [
        tag("li", tag("span", class_=f"swatch {COLOUR_NAMES[colour]}{' level' * is_level}"), name)
        for name, colour, is_level in curves.names()
    ]
    return tag("ul", *items, class_="legend")


def _notes(curves: Curves) -> Html:
    """Return notes on which curves are smoothed and how many values cannot be drawn."""
    notes = [curves.note] if curves.note else []
    for series in curves.series:
        n_points = len(series.finite()[0])
        name, its = (f"{series.name} ", "its ") if len(curves.series) > 1 else ("", "")
        if series.is_noisy and window(n_points) > 1:
            notes.append(f"Pale: {name}as measured; {its}line: running mean of {window(n_points)} points.")
        if n_lost := len(series.y) - n_points:
            notes.append(f"Not drawn: {n_lost:,} values {f'of {name}' if name else ''}that are no numbers.")
    text = " ".join(notes)
    return tag("p", text, class_="note") if text else Html("")


def draw_svg(curves: Curves, description: str, prefix: str) -> tuple[Element, dict[str, Any]]:
    """Return an ``<svg>`` with a description, and the places of its points. Every id in it begins with
    ``prefix``.
    """
    import matplotlib  # takes 0.5 s to import

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "biofm", "font.size": FONT_POINTS}):
        figure = new_figure(WIDTH_INCH, HEIGHT_INCH)
        figure.set_dpi(POINTS_PER_INCH)
        figure.patch.set_visible(False)
        axes = figure.subplots()
        axes.patch.set_visible(False)
        plot(curves, axes)
        drawn = io.BytesIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # None leaves out a field
        figure.savefig(drawn, format="svg", metadata=nothing)
    svg = ElementTree.fromstring(drawn.getvalue())
    _adapt(svg, prefix)
    svg.attrib = {"viewBox": svg.attrib["viewBox"]}
    desc = Element("desc", id=f"{prefix}-description")
    desc.text = printable(description)
    svg.insert(0, desc)
    return svg, _points(curves, axes)


def _adapt(svg: Element, prefix: str) -> None:
    """Reduce an SVG of matplotlib, in place, to what the page needs: names without namespaces, ids that are
    used, and the page's fonts and colours.
    """
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
    """Return where the points of each series lie in the drawing, with their values as text; at most
    ``MOST_POINTS`` for each series.
    """
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
