"""Who is best, said whoever it is."""

import math
from dataclasses import replace

import pytest

from biofm.evaluation import IntervalEstimate
from biofm.report.run import Contender, Measure, Results
from biofm.report.run.standing import format_value, say_who_is_best
from tests.report.run.conftest import MakeReport, estimate, page_of, read_page

SPEARMAN = Measure(name="Spearman", higher_is_better=True)
ERROR = Measure(name="error", higher_is_better=False, unit="°C")


def results(
    *contenders: tuple[str, float | None],
    measure: Measure = SPEARMAN,
    margin: float = 0.0,
    difference: IntervalEstimate | None = None,
) -> Results:
    """Models have names with an M."""
    return Results(
        title="R",
        measures=(measure,),
        contenders=tuple(
            Contender(
                name=name,
                kind="model" if "M" in name else "baseline",
                estimates=(None if value is None else estimate(value, margin),),
            )
            for name, value in contenders
        ),
        differences={} if difference is None else {"ridge": difference},
    )


@pytest.mark.parametrize(
    ("found", "ahead", "sentence"),
    [
        (
            results(("M", 0.8), ("ridge", 0.7), ("majority", 0.1)),
            True,
            "By Spearman, M (0.800) is 0.100 better than the baseline ridge (0.700).",
        ),
        (
            results(("M", 0.6), ("ridge", 0.7), ("majority", 0.1)),
            False,
            "By Spearman, the baseline ridge (0.700) is 0.100 better than M (0.600): use the baseline.",
        ),
        (
            results(("M", 0.7), ("ridge", 0.7)),
            False,
            "By Spearman, M is no better than the baseline ridge: both have 0.700.",
        ),
        (
            results(("M", 2.0), ("ridge", 3.0), measure=ERROR),
            True,
            "By error, M (2.000 °C) is 1.000 °C better than the baseline ridge (3.000 °C).",
        ),
        (
            results(("M", 0.6), ("M2", 0.65), ("ridge", 0.7), margin=0.1),
            False,
            "By Spearman, the baseline ridge (0.700) is 0.050 better than M2 (0.650): their 95 % intervals "
            "overlap, so the difference may be chance.",
        ),
        (
            results(("M", 0.6), ("ridge", 0.7), margin=0.2, difference=estimate(-0.1, 0.05)),
            False,
            "By Spearman, the baseline ridge (0.700) is 0.100 better (95 % interval 0.050 to 0.150) than M "
            "(0.600), and the interval excludes 0: use the baseline.",
        ),
        (
            results(("M", 0.8), ("ridge", 0.7), difference=estimate(0.1, 0.2)),
            True,
            "By Spearman, M (0.800) is 0.100 better (95 % interval -0.100 to 0.300) than the baseline ridge "
            "(0.700): the difference may be chance.",
        ),
    ],
)
def test_the_best_model_is_put_beside_the_best_baseline(found: Results, ahead: bool, sentence: str) -> None:
    (standing,) = say_who_is_best(found)
    assert (standing.model_is_ahead, standing.sentence) == (ahead, sentence)


@pytest.mark.parametrize(
    "found", [results(("M", 0.5)), results(("ridge", 0.5)), results(("M", None), ("ridge", 0.5)), results()]
)
def test_without_both_there_is_nothing_to_say(found: Results) -> None:
    assert say_who_is_best(found) == []


def test_a_value_that_is_no_number_is_never_the_best() -> None:
    (standing,) = say_who_is_best(results(("M", math.nan), ("M2", 0.5), ("ridge", 0.7)))
    assert "ridge (0.700) is 0.200 better than M2 (0.500)" in standing.sentence


def test_another_measure_speaks_up_only_when_it_says_otherwise() -> None:
    measures = (SPEARMAN, Measure(name="Pearson", higher_is_better=True), ERROR)
    found = Results(
        title="R",
        measures=measures,
        contenders=(
            Contender(name="M", kind="model", estimates=(estimate(0.8), estimate(0.8), estimate(2.0))),
            Contender(name="ridge", kind="baseline", estimates=(estimate(0.7), estimate(0.6), estimate(1.0))),
        ),
    )
    sentences = [standing.sentence for standing in say_who_is_best(found)]
    assert [sentence.partition(",")[0] for sentence in sentences] == ["By Spearman", "By error"]


@pytest.mark.parametrize(
    ("largest", "value", "text"),
    [(17.73, 16.9, "16.90"), (0.788, 0.2, "0.200"), (1.2, 0.5, "0.500"), (12_345.6, 9.5, "10"),
     (0.0123, 0.01, "0.01000"), (0.0, 0.0, "0.000"), (1.0, math.inf, "inf"), (1.0, -0.0001, "0.000")],
)  # fmt: skip
def test_values_of_a_measure_have_the_same_decimals(largest: float, value: float, text: str) -> None:
    assert format_value(results(("M", largest)), 0, value) == text


def test_the_page_marks_the_best_and_warns_where_a_baseline_is_ahead(make_report: MakeReport) -> None:
    found = results(("ridge", 0.7), ("M", 0.6), margin=0.01)
    page = read_page(page_of(make_report(results=(found,))))
    (said,) = page.all("ul", class_="comparisons")[0].all("li")
    assert said.attributes["class"] == "behind"
    model, baseline = page.all("tbody")[0].all("tr")
    assert [row.all("th")[0].text for row in (model, baseline)] == ["M model", "ridge baseline"]
    assert "best" not in model.text
    assert baseline.all("strong")[0].text == "0.700best"


def test_all_who_are_equally_good_are_marked(make_report: MakeReport) -> None:
    page = read_page(page_of(make_report(results=(results(("ridge", 0.7), ("M", 0.7)),))))
    assert len(page.all("strong")) == 2


def test_values_without_end_have_no_bar_and_no_fault(make_report: MakeReport) -> None:
    page = read_page(page_of(make_report(results=(results(("M", math.inf), ("ridge", 2.0), ("zero", 1.0)),))))
    assert len(page.all("svg", class_="bar")) == 2


def test_where_another_table_decides_there_is_no_comparison(make_report: MakeReport) -> None:
    found = replace(results(("M", 0.5), ("ridge", 0.7)), has_comparison=False)
    page = read_page(page_of(make_report(results=(found,))))
    assert not page.all("ul", class_="comparisons")
    assert len(page.all("strong")) == 1


def test_what_is_no_better_than_a_constant_is_not_marked_as_the_best(make_report: MakeReport) -> None:
    found = results(("M", 0.2), ("ridge", 0.1))
    model, ridge = found.contenders
    page = read_page(
        page_of(make_report(results=(replace(found, contenders=(replace(model, may_be_best=False), ridge)),)))
    )
    assert not page.all("strong")
