"""A comparison names the better of two, how much better it is, and whether that may be chance."""

import math

import pytest

from biofm.evaluation import IntervalEstimate, say_which_is_better

CHANCE = IntervalEstimate(value=0.03, low=-0.01, high=0.07)
SURE = IntervalEstimate(value=-0.05, low=-0.08, high=-0.02)


@pytest.mark.parametrize(
    ("ours", "theirs", "difference", "higher_is_better", "sentence"),
    [
        (
            0.53, 0.50, CHANCE, True,
            "By m, M (0.530) is 0.030 better (95 % interval -0.010 to 0.070) than the baseline B (0.500): "
            "the difference may be chance.",
        ),
        (
            0.45, 0.50, SURE, True,
            "By m, the baseline B (0.500) is 0.050 better (95 % interval 0.020 to 0.080) than M (0.450), and "
            "the interval excludes 0: use the baseline.",
        ),
        (
            0.45, 0.50, SURE, False,
            "By m, M (0.450) is 0.050 better (95 % interval 0.020 to 0.080) than the baseline B (0.500), and "
            "the interval excludes 0.",
        ),
        (
            0.53, 0.50, CHANCE, False,
            "By m, the baseline B (0.500) is 0.030 better (95 % interval -0.010 to 0.070) than M (0.530): "
            "the difference may be chance.",
        ),
        (
            0.45, 0.50, None, True,
            "By m, the baseline B (0.500) is 0.050 better than M (0.450): use the baseline.",
        ),
        (0.5, 0.5, SURE, True, "By m, M is no better than the baseline B: both have 0.500."),
        (0.5002, 0.5, None, True, "By m, M (0.500) is less than 0.001 better than the baseline B (0.500)."),
    ],
)  # fmt: skip
def test_the_sentence_has_the_direction_of_the_measure(
    ours: float,
    theirs: float,
    difference: IntervalEstimate | None,
    higher_is_better: bool,
    sentence: str,
) -> None:
    said = say_which_is_better(("M", ours), ("B", theirs), "m", difference, higher_is_better=higher_is_better)
    assert said == sentence


@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        (math.nan, 0.5, "M (nan) and the baseline B (0.500) cannot be compared."),
        (0.5, math.nan, "M (0.500) and the baseline B (nan) cannot be compared."),
        (math.inf, math.inf, "M is no better than the baseline B: both have inf."),
        (math.inf, 0.5, "the baseline B (0.500) is better than M (inf): use the baseline."),
        (0.5, math.inf, "M (0.500) is better than the baseline B (inf)."),
    ],
)
def test_what_is_not_finite_is_no_better_by_no_number(ours: float, theirs: float, sentence: str) -> None:
    said = say_which_is_better(("M", ours), ("B", theirs), "m", CHANCE, higher_is_better=False)
    assert said == f"By m, {sentence}"


@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        (0.0674, 0.0566, "M (0.067) is 0.010 better than the baseline B (0.057)."),
        (0.0576, 0.0574, "M (0.058) is 0.001 better than the baseline B (0.057)."),
        (
            0.0576,
            0.0584,
            "the baseline B (0.058) is less than 0.001 better than M (0.058): use the baseline.",
        ),
        (0.0004, -0.0108, "M (0.000) is 0.011 better than the baseline B (-0.011)."),
    ],
)
def test_the_difference_is_that_of_the_printed_numbers(ours: float, theirs: float, sentence: str) -> None:
    assert say_which_is_better(("M", ours), ("B", theirs), "m") == f"By m, {sentence}"


def test_the_difference_keeps_the_commas_and_the_unit_of_the_numbers() -> None:
    said = say_which_is_better(("M", 12345.66), ("B", 1234.44), "m", write=lambda value: f"{value:,.1f} °C")
    assert said == "By m, M (12,345.7 °C) is 11,111.3 °C better than the baseline B (1,234.4 °C)."


def test_an_interval_without_numbers_excludes_nothing() -> None:
    unknown = IntervalEstimate(value=0.1, low=math.nan, high=math.nan)
    said = say_which_is_better(("M", 0.6), ("B", 0.5), "m", unknown)
    assert said == "By m, M (0.600) is 0.100 better than the baseline B (0.500)."


def test_a_given_ending_takes_the_place_of_the_advice() -> None:
    said = say_which_is_better(
        ("M", 1.0), ("B", 2.0), "m", ending="they overlap", write=lambda it: f"{it} °C"
    )
    assert said == "By m, the baseline B (2.0 °C) is 1.0 °C better than M (1.0 °C): they overlap."


@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        (0.55, 0.50, "M (0.550) is 0.050 better than the baseline B (0.500): few."),
        (0.45, 0.50, "the baseline B (0.500) is 0.050 better than M (0.450): few; use the baseline."),
    ],
)
def test_too_few_rows_take_the_place_of_an_interval(ours: float, theirs: float, sentence: str) -> None:
    said = say_which_is_better(("M", ours), ("B", theirs), "m", SURE, too_few="few")
    assert said == f"By m, {sentence}"
