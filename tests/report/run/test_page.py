"""A report's page as a parser reads it: whole, sound, safe, and with everything that was put into it."""

import base64
import hashlib
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from biofm.core import __version__
from biofm.report import Curves, Series
from biofm.report.run import Contender, Measure, Pairs, Picture, Results, RunReport, Table
from tests.report.run.conftest import (
    Element,
    MakeReport,
    estimate,
    loss_curves,
    page_of,
    read_page,
    speed_curves,
)

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&lt;"


def ids_of(page: Element) -> list[str]:
    return [element.attributes["id"] for element in page.all() if "id" in element.attributes]


def test_the_page_has_one_of_each_landmark_and_one_title(page: Element) -> None:
    for name in ("html", "head", "title", "body", "header", "nav", "main", "footer", "h1"):
        assert len(page.all(name)) == 1, name
    assert page.all("html")[0].attributes == {"lang": "en"}
    assert page.all("h1")[0].text == "protein-nano on UniRef90"
    assert page.all("title")[0].text == "protein-nano on UniRef90 · biofm pretraining"


def test_headings_descend_one_at_a_time(page: Element) -> None:
    levels = [int(it.name[1]) for it in page.all() if re.fullmatch("h[1-6]", it.name)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_id_is_the_only_one_and_every_reference_has_its_target(page: Element) -> None:
    ids = ids_of(page)
    assert len(set(ids)) == len(ids)
    wanted = set()
    for element in page.all():
        for name, value in element.attributes.items():
            if name in ("aria-labelledby", "aria-describedby"):
                wanted |= set(value.split())
            elif name in ("href", "clip-path"):
                wanted |= set(re.findall(r"#([\w-]+)", value))
    assert wanted <= set(ids)
    assert len(wanted) > 10


def test_the_navigation_leads_to_every_section(page: Element) -> None:
    links = [link.attributes["href"] for link in page.all("nav")[0].all("a")]
    assert links == [f"#{section.attributes['id']}" for section in page.all("section")]
    assert links == [
        "#results", "#curves", "#pictures", "#data", "#notices", "#configuration", "#environment",
    ]  # fmt: skip


def test_an_empty_report_is_a_page_without_empty_sections(make_report: MakeReport) -> None:
    lists: dict[str, Any] = dict.fromkeys(("results", "curves", "pictures", "data"), ())
    mappings: dict[str, Any] = {name: {} for name in ("facts", "configuration", "notices")}
    page = read_page(page_of(make_report(**lists, **mappings, ended="")))
    assert [section.attributes["id"] for section in page.all("section")] == ["environment"]
    assert not page.all("table")


def test_a_notice_that_is_a_sentence_has_no_count(make_report: MakeReport) -> None:
    page = read_page(page_of(make_report(notices={"The contact head was left out.": 1})))
    (notices,) = (section for section in page.all("section") if section.attributes["id"] == "notices")
    assert [item.text for item in notices.all("li")] == ["The contact head was left out."]


def test_every_number_and_word_of_the_report_is_on_the_page(page: Element) -> None:
    text = page.all("body")[0].text
    for part in (
        "2026-11-26 18:40", "1,213,440 weights", "15.21", "4,000", "17.73", "[17.61, 17.85]", "16.90",
        "[16.80, 17.00]", "[15.11, 15.31]", "unigram", "1,500 proteins.", "95 % interval", "81,650", "274.5",
        "In residues.", "How fast.", "Residues", "9.9 %", "Of training.", "learning_rate", "0.004",
        "encoder.n_layers", "sequences cropped: 5,120",
        "9.8.7, commit 0123456789ab", "3.11.7", "2.13.0", "AMD EPYC", "8 (torch uses 4)", "25.3 GB",
        "NVIDIA L4", "bfloat16", f"biofm {__version__}",
    ):  # fmt: skip
        assert part in text, part


def test_a_notice_that_is_a_whole_sentence_has_no_count(make_report: MakeReport) -> None:
    page = read_page(page_of(make_report(notices={"It learned nothing.": 1, "rows skipped": 1})))
    items = page.all("ul", class_="notices")[0].all("li")
    assert [item.text for item in items] == ["It learned nothing.", "rows skipped: 1"]


def test_curves_keep_their_text_and_say_their_numbers(page: Element) -> None:
    figure = page.all("figure")[0]
    svg = figure.all("svg")[0]
    words = [text.text for text in svg.all("text")]
    assert {"step", "cross-entropy (nats)", "400", "1,000"} <= set(words)
    (description,) = svg.all("desc")
    assert "validation: 2.71 at step 500, 2.65 at 1,000; lowest 2.65 at 1,000" in description.text
    assert "residue frequencies: 2.875 throughout" in description.text
    assert [item.text for item in figure.all("li")] == ["training", "validation", "residue frequencies"]
    assert "running mean of 5 points" in figure.all("p")[0].text


def test_a_single_curve_has_no_legend_and_no_note(page: Element) -> None:
    figure = page.all("figure")[1]
    assert not figure.all("ul")
    assert not figure.all("p")


def test_a_note_of_a_curve_stands_below_it(make_report: MakeReport) -> None:
    curves = replace(speed_curves(), note="One member of two.")
    page = read_page(page_of(make_report(curves=(curves,))))
    assert [note.text for note in page.all("figure")[0].all("p")] == ["One member of two."]


def test_what_of_a_curve_cannot_be_drawn_is_said(make_report: MakeReport) -> None:
    curves = loss_curves()
    broken = type(curves.series[1])(
        name="validation", x=[1, 2, 3, 4, 5], y=[2.0, float("nan"), float("inf"), 1.9, 1.8]
    )
    curves = type(curves)(title="Loss", x_label="step", y_label="nats", series=(broken,))
    page = read_page(page_of(make_report(curves=(curves,))))
    assert page.all("figure")[0].all("p")[0].text == "Not drawn: 2 values that are no numbers."


def test_one_or_two_points_are_stated_and_not_drawn(make_report: MakeReport) -> None:
    few = Series(name="validation", x=[4, 8], y=[2.5, 2.25])
    curves = Curves(
        title="Loss", x_label="step", y_label="loss (nats)", series=(few,), levels={"unigram": 2.9}
    )
    page = read_page(page_of(make_report(curves=(curves,))))
    (figure,) = page.all("figure")[:1]
    assert not figure.all("svg")
    assert figure.all("p")[0].text == (
        "Too few points for a curve. The loss (nats) is: validation: 2.5 at step 4, 2.25 at step 8; "
        "unigram: 2.9."
    )


def test_colours_and_fonts_of_curves_are_left_to_the_page(page: Element) -> None:
    for svg in page.all("svg", role="img"):
        styles = [element.attributes["style"] for element in svg.all() if "style" in element.attributes]
        assert styles
        assert not [style for style in styles if "#" in style or "font-family" in style]
        assert not svg.all("style")


def test_pictures_are_in_the_file_with_their_size_and_words(make_report: MakeReport) -> None:
    report = make_report()
    (image,) = read_page(page_of(report)).all("img")
    assert image.attributes["alt"] == "A line that rises."
    source = image.attributes["src"].removeprefix("data:image/png;base64,")
    assert base64.b64decode(source) == report.pictures[0].png
    assert (image.attributes["width"], image.attributes["height"]) == ("700", "400")


def test_the_page_asks_for_nothing_from_elsewhere(make_report: MakeReport) -> None:
    page = page_of(make_report())
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", re.sub(r"base64,[\w+/=]+", "", page))
    for element in read_page(page).all():
        for name in ("src", "href", "srcset", "action", "data"):
            value = element.attributes.get(name, "#")
            assert value.startswith(("#", "data:image/png;base64,")), (element.name, value)


def test_the_policy_admits_our_script_alone(page: Element) -> None:
    (meta,) = page.all("meta", **{"http-equiv": "Content-Security-Policy"})
    (script,) = page.all("script")
    digest = base64.b64encode(hashlib.sha256(script.text.encode()).digest()).decode()
    assert meta.attributes["content"].split("; ") == [
        "default-src 'none'", "img-src data:", "style-src 'unsafe-inline'", f"script-src 'sha256-{digest}'",
    ]  # fmt: skip


def hostile_report(make_report: MakeReport, text: str) -> RunReport:
    """The text wherever a report holds one."""
    curves = loss_curves()
    series = type(curves.series[0])(name=text, x=[1, 2, 3], y=[1.0, 2.0, 3.0])
    contenders = (
        Contender(name=text, kind="model", estimates=(estimate(1),), note=text),
        Contender(name=text + "2", kind="baseline", estimates=(estimate(2),)),
    )
    measure = Measure(name=text, higher_is_better=True, unit=text)
    return make_report(
        title=text, kind=text, summary=text, ended=text, facts={text: text},
        results=(Results(title=text, measures=(measure,), contenders=contenders, interval=text, note=text),),
        curves=(type(curves)(title=text, x_label=text, y_label=text, series=(series,), levels={text: 1.5}),),
        pictures=(Picture(png=make_report().pictures[0].png, caption=text, description=text),),
        data=(
            Table(title=text, header=(text, text), rows=[(text, text)], note=text),
            Pairs(title=text, values={text: text}, note=text),
        ),
        configuration={text: text, "inner": {text: [text]}}, notices={text: 1},
    )  # fmt: skip


def test_markup_in_a_name_is_shown_and_never_run(make_report: MakeReport) -> None:
    page = read_page(page_of(hostile_report(make_report, HOSTILE)))
    assert len(page.all("script")) == 1
    assert len(page.all("img")) == 1
    assert not [name for element in page.all() for name in element.attributes if name.startswith("on")]
    assert page.all("h1")[0].text == HOSTILE
    assert page.all("figcaption")[-1].text == HOSTILE
    shown = page.all("body")[0].text
    assert shown.count(HOSTILE) > 25
    assert [text.text for text in page.all("svg", role="img")[0].all("text")].count(HOSTILE) == 2


def test_text_that_no_file_can_hold_does_not_break_the_page(make_report: MakeReport) -> None:
    page = page_of(hostile_report(make_report, "a\x00b\ud800c\x1b[31m"))
    assert "a\ufffdb\ufffdc\ufffd[31m" in read_page(page).all("h1")[0].text
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", page)


def test_tables_have_captions_and_headers_with_a_scope(page: Element) -> None:
    tables = page.all("table")
    assert [table.all("caption")[0].text for table in tables] == ["Held-out perplexity", "Lengths"]
    for table in tables:
        assert all(cell.attributes["scope"] == "col" for cell in table.all("thead")[0].all("th"))
        for row in table.all("tbody")[0].all("tr"):
            assert [cell.attributes["scope"] for cell in row.all("th")] == ["row"]
        widths = {sum(len(row.all(kind)) for kind in ("th", "td")) for row in table.all("tr")}
        assert len(widths) == 1


def test_a_wide_table_scrolls_by_keyboard_in_a_box_of_its_own(page: Element) -> None:
    for box in page.all("div", class_="scroll"):
        assert box.attributes["tabindex"] == "0"
        assert box.attributes["role"] == "region"
        assert box.all("caption")[0].attributes["id"] == box.attributes["aria-labelledby"]


def test_missing_numbers_are_dashes_and_truths_are_words(make_report: MakeReport) -> None:
    table = Table(title="T", header=("a", "b", "c"), rows=[("x", None, True), ("y", 1234, False)])
    cells = read_page(page_of(make_report(results=(), data=(table,)))).all("td")
    assert [cell.text for cell in cells] == ["–", "yes", "1,234", "no"]


def test_the_same_report_is_the_same_file(make_report: MakeReport) -> None:
    assert page_of(make_report()) == page_of(make_report())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "none"),
        ("", "none"),
        ([], "none"),
        ({}, "none"),
        ((1, 2), "1, 2"),
        (1e-9, "1e-09"),
        (5000, "5,000"),
    ],
)
def test_values_of_the_configuration_read_well(value: object, shown: str, make_report: MakeReport) -> None:
    page = read_page(page_of(make_report(curves=(), pictures=(), configuration={"name": value})))
    (section,) = page.all("section", id="configuration")
    assert section.all("dd")[0].text == shown
