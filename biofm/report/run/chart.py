"""Curves as a figure of a page: title, legend, drawing, and what the drawing does to the values."""

import json
from xml.etree import ElementTree

from biofm.report.curves import Curves, Series, window
from biofm.report.run.drawing import COLOUR_NAMES, draw_svg
from biofm.report.run.markup import Html, tag


def chart(curves: Curves, number: int) -> Html:
    """A ``<figure>``; ``number`` makes what is in it the only one of its name on the page."""
    title = f"chart-{number}-title"
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


def describe(curves: Curves) -> str:
    """What the curves show, for who cannot see them."""
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
    """Colours and names, where there are several."""
    if len(curves.names()) < 2:
        return Html("")
    items = [
        tag("li", tag("span", class_=f"swatch {COLOUR_NAMES[colour]}{' level' * is_level}"), name)
        for name, colour, is_level in curves.names()
    ]
    return tag("ul", *items, class_="legend")


def _notes(curves: Curves) -> Html:
    """What the drawing does to the values, and what of them it cannot show."""
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
