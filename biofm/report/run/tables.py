"""Tables of a page: each scrolls in its own box if the screen is narrow."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from biofm.evaluation import IntervalEstimate
from biofm.report.run.contents import Cell, Contender, Results, Table
from biofm.report.run.markup import Html, join, tag
from biofm.report.run.standing import find_best, format_value, say_who_is_best, values_of

BAR_WIDTH, BAR_HEIGHT, BAR_MARGIN = 96, 12, 5


def results_table(results: Results, id_: str) -> Html:
    """Return sentences that say which is best, then a table of all contenders, models first. The bars of a
    measure share one scale.
    """
    bests = [
        {it.name for it in find_best(results, number) if it.may_be_best}
        for number in range(len(results.measures))
    ]
    header = ["", *(_measure_name(results, number) for number in range(len(results.measures)))]
    ordered = sorted(results.contenders, key=lambda contender: contender.kind != "model")
    rows = [_contender_row(results, contender, bests) for contender in ordered]
    table = _table(results.title, header, rows, id_, numeric=range(1, len(header)))
    has_bounds = any(it is not None and it.low is not None for c in ordered for it in c.estimates)
    notes = [results.note, f"In brackets: {results.interval}." if has_bounds else ""]
    note = " ".join(filter(None, notes))
    return join(_sentences(results), table, tag("p", note, class_="note") if note else "")


def plain_table(table: Table, id_: str) -> Html:
    """Return a table of facts, with its note."""
    columns = range(len(table.header))
    numeric = [column for column in columns if _is_numeric([row[column] for row in table.rows])]
    rows = [
        tag("tr", *(_cell(number, cell, is_numeric=number in numeric) for number, cell in enumerate(row)))
        for row in table.rows
    ]
    note = tag("p", table.note, class_="note") if table.note else ""
    return join(_table(table.title, table.header, rows, id_, numeric=numeric), note)


def pairs_list(pairs: Mapping[str, Any]) -> Html:
    """Return names and values in as many columns as fit. The name of an inner mapping and its own names are
    joined by a dot.
    """
    rows = [tag("div", tag("dt", name), tag("dd", value)) for name, value in _flatten(pairs)]
    return tag("dl", *rows, class_="pairs") if rows else Html("")


def format_cell(cell: Cell) -> str:
    """Write a cell: numbers with commas between thousands, yes and no, and a dash for None."""
    match cell:
        case None:
            return "–"
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}"
        case float():
            return f"{cell:,.5g}"
    return cell


def _table(
    title: str, header: Sequence[str], rows: Iterable[Html], id_: str, *, numeric: Sequence[int]
) -> Html:
    heads = [
        tag("th", name, scope="col", class_="number" if number in numeric else None) if name else tag("td")
        for number, name in enumerate(header)
    ]
    table = tag(
        "table",
        tag("caption", title, id=id_),
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
    )
    return tag("div", table, class_="scroll", role="region", aria_labelledby=id_, tabindex=0)


def _sentences(results: Results) -> Html:
    items = [
        tag("li", standing.sentence, class_="ahead" if standing.model_is_ahead else "behind")
        for standing in (say_who_is_best(results) if results.has_comparison else [])
    ]
    return tag("ul", *items, class_="comparisons") if items else Html("")


def _measure_name(results: Results, number: int) -> str:
    measure = results.measures[number]
    arrow = "↑" if measure.higher_is_better else "↓"
    says = "higher is better" if measure.higher_is_better else "lower is better"
    unit = f" ({measure.unit})" if measure.unit else ""
    return join(f"{measure.name}{unit} ", tag("abbr", arrow, title=says))


def _contender_row(results: Results, contender: Contender, bests: Sequence[set[str]]) -> Html:
    kind = tag("span", contender.kind, class_=f"kind {contender.kind}")
    note = tag("span", contender.note, class_="aside") if contender.note else ""
    cells = [
        _estimate_cell(results, number, estimate, is_best=contender.name in bests[number])
        for number, estimate in enumerate(contender.estimates)
    ]
    return tag("tr", tag("th", contender.name, " ", kind, note, scope="row"), *cells, class_=contender.kind)


def _estimate_cell(
    results: Results, number: int, estimate: IntervalEstimate | None, *, is_best: bool
) -> Html:
    if estimate is None or estimate.value is None:
        return tag("td", "–", class_="number")
    value = format_value(results, number, estimate.value)
    if is_best:
        value = tag("strong", value, tag("span", "best", class_="badge"))
    bounds: str = Html("")
    if estimate.low is not None and estimate.high is not None:
        low, high = (format_value(results, number, bound) for bound in (estimate.low, estimate.high))
        bounds = tag("span", f"[{low}, {high}]", class_="aside")
    return tag("td", value, bounds, _bar(results, number, estimate), class_="number" + " best" * is_best)


def _bar(results: Results, number: int, estimate: IntervalEstimate) -> Html:
    """Return a drawing of a value and its bounds on the scale of its column."""
    values = values_of(results, number)
    low, high = min(values, default=0.0), max(values, default=0.0)
    shown = [value for value in (estimate.low, estimate.value, estimate.high) if value is not None]
    if low == high or not all(map(math.isfinite, shown)):
        return Html("")
    scale = (BAR_WIDTH - 2 * BAR_MARGIN) / (high - low)
    at = [round(BAR_MARGIN + scale * (value - low), 1) for value in shown]
    middle = BAR_HEIGHT / 2
    axis = tag("line", class_="axis", x1=0, x2=BAR_WIDTH, y1=middle, y2=middle)
    whisker = tag("line", x1=at[0], x2=at[-1], y1=middle, y2=middle)
    dot = tag("circle", cx=at[len(at) // 2], cy=middle, r=3.5)
    box = f"0 0 {BAR_WIDTH} {BAR_HEIGHT}"
    return tag("svg", axis, whisker, dot, class_="bar", viewBox=box, aria_hidden="true")


def _cell(number: int, cell: Cell, *, is_numeric: bool) -> Html:
    if number == 0:
        return tag("th", format_cell(cell), scope="row")
    return tag("td", format_cell(cell), class_="number" if is_numeric else None)


def _is_numeric(cells: Sequence[Cell]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return bool(known) and all(isinstance(cell, int | float) for cell in known)


def _flatten(pairs: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in pairs.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _format_value(value)


def _format_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_value, value)) or "none"
    if value is None or value == "" or value == {}:
        return "none"
    return format_cell(value) if isinstance(value, bool | int) else str(value)
