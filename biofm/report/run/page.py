"""Pages: the report of a run as one HTML file, which needs no other file and fits screens of any width and
paper.
"""

import base64
import hashlib
import struct
from collections.abc import Callable
from importlib import resources
from typing import BinaryIO

from biofm.core.environment import __version__
from biofm.core.text import format_notice
from biofm.report.figure import name_demonstrations
from biofm.report.run.chart import chart
from biofm.report.run.contents import Pairs, Picture, RunReport, Table
from biofm.report.run.markup import Html, join, tag
from biofm.report.run.tables import pairs_list, plain_table, results_table

PIXELS_PER_POINT = 1.5  # pictures are sharp on a fine screen, with text as large as the page's


def write_report(report: RunReport, handle: BinaryIO) -> None:
    """Write the whole page in UTF-8. Its content policy lets a browser load nothing and run only our script.

    Args:
        report: Contents of the page.
        handle: Opened file that the page is written to.
    """
    style, script = _read("style.css"), _read("script.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{report.title} · biofm {report.kind}"),
        tag("style", style),
    )
    sections = [(name, html) for name, make in SECTIONS.items() if (html := make(report))]
    body = tag(
        "body",
        _header(report, [name for name, _ in sections]),
        tag("main", *(join("\n", _section(name, html)) for name, html in sections)),
        "\n",
        _footer(report),
        tag("script", script),
    )
    handle.write(join(Html("<!doctype html>\n"), tag("html", head, body, lang="en"), "\n").encode())


def _read(name: str) -> Html:
    """Read a file beside this one, which goes into the page unescaped."""
    return Html(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def _header(report: RunReport, sections: list[str]) -> Html:
    facts = [tag("div", tag("dt", name), tag("dd", value)) for name, value in report.facts.items()]
    links = [tag("li", tag("a", name, href=f"#{_id(name)}")) for name in sections]
    kicker = " · ".join(filter(None, ["biofm", report.kind, report.ended]))
    return tag(
        "header",
        tag("p", kicker, class_="kicker"),
        tag("h1", report.title),
        tag("p", " ".join(filter(None, (report.summary, _demonstration(report)))), class_="summary"),
        tag("dl", *facts, class_="facts") if facts else "",
        tag("nav", tag("ul", *links), aria_label="Sections") if links else "",
    )


def _demonstration(report: RunReport) -> str:
    """Return a sentence on the demonstration models that the run started from; empty for other models."""
    note = name_demonstrations(report.models)
    return f"{note}: the results show how biofm works, and are no measure of larger models." if note else ""


def _section(name: str, html: Html) -> Html:
    title = f"{_id(name)}-title"
    return tag("section", tag("h2", name, id=title), html, id=_id(name), aria_labelledby=title)


def _footer(report: RunReport) -> Html:
    return tag("footer", tag("p", f"Written by biofm {__version__}. This file needs no network."))


def _id(name: str) -> str:
    return name.lower().replace(" ", "-")


def _results(report: RunReport) -> Html:
    return join(*(results_table(it, f"results-{number}") for number, it in enumerate(report.results)))


def _curves(report: RunReport) -> Html:
    charts = [chart(curves, number) for number, curves in enumerate(report.curves)]
    return tag("div", *charts, class_="charts") if charts else Html("")


def _pictures(report: RunReport) -> Html:
    return join(*map(_picture, report.pictures))


def _picture(picture: Picture) -> Html:
    source = f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
    width, height = (round(pixels / PIXELS_PER_POINT) for pixels in _size(picture.png))
    image = tag("img", src=source, alt=picture.description, width=width, height=height)
    return tag("figure", image, tag("figcaption", picture.caption), class_="picture")


def _size(png: bytes) -> tuple[int, int]:
    """Return width and height in pixels, from the first chunk of the PNG (ISO 15948, 11.2.2)."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _data(report: RunReport) -> Html:
    return join(*(_describe(part, f"data-{number}") for number, part in enumerate(report.data)))


def _describe(part: Table | Pairs, id_: str) -> Html:
    if isinstance(part, Table):
        return plain_table(part, id_)
    note = tag("p", part.note, class_="note") if part.note else ""
    return tag("div", tag("h3", part.title), pairs_list(part.values), note, class_="group")


def _configuration(report: RunReport) -> Html:
    return pairs_list(report.configuration)


def _environment(report: RunReport) -> Html:
    return pairs_list(report.environment.rows())


def _notices(report: RunReport) -> Html:
    items = [tag("li", format_notice(notice, count)) for notice, count in report.notices.items()]
    return tag("ul", *items, class_="notices") if items else Html("")


SECTIONS: dict[str, Callable[[RunReport], Html]] = {
    "Results": _results,
    "Curves": _curves,
    "Pictures": _pictures,
    "Data": _data,
    "Notices": _notices,
    "Configuration": _configuration,
    "Environment": _environment,
}
"""The sections of a page, from first to last; an empty one is left out."""
