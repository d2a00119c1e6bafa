"""Curves of a run: what is drawn, and what cannot be."""

import io
import math
import re

import numpy as np
import pytest

from biofm.report import Curves, Series, draw_curves
from biofm.report.curves import FEWEST_TO_SMOOTH, MOST_MARKED, plot, running_mean, window
from biofm.report.figure import new_figure


def series(values: list[float], name: str = "training", *, is_noisy: bool = False) -> Series:
    return Series(name=name, x=list(range(1, len(values) + 1)), y=values, is_noisy=is_noisy)


def curves(*drawn: Series, **levels: float) -> Curves:
    return Curves(title="Loss", x_label="step", y_label="nats", series=drawn, levels=levels)


def drawn(what: Curves, suffix: str = ".svg") -> bytes:
    handle = io.BytesIO()
    draw_curves(what, handle, suffix)
    return handle.getvalue()


def texts(what: Curves) -> list[str]:
    """The texts of the figure: matplotlib keeps each in a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", drawn(what).decode(), re.DOTALL)]


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG\r\n\x1a\n"), (".pdf", b"%PDF-"), (".svg", b"<?xml")]
)
def test_curves_are_drawn_in_every_format(suffix: str, start: bytes) -> None:
    assert drawn(curves(series([3.0, 2.5, 2.2]), unigram=2.9), suffix).startswith(start)


def test_a_figure_names_its_axes_its_curves_and_its_levels() -> None:
    shown = texts(curves(series([3.0, 2.5]), series([3.1, 2.7], "validation"), unigram=2.9))
    assert {"Loss", "step", "nats", "training", "validation", "unigram"} <= set(shown)


def test_thousands_are_told_apart_on_both_axes() -> None:
    many = Series(name="speed", x=[0, 5000, 10_000], y=[1000.0, 5000.0, 10_000.0])
    assert texts(curves(many)).count("10,000") == 2


def test_ticks_of_an_axis_have_the_same_decimals() -> None:
    shown = texts(curves(series([0.6, 1.4])))
    assert {"0.6", "1.0", "1.4"} <= set(shown)


@pytest.mark.parametrize("values", [[], [2.0], [math.nan, math.inf], [2.0, math.nan, 1.0]])
def test_few_or_broken_values_are_no_fault(values: list[float]) -> None:
    for is_noisy in (False, True):
        assert drawn(curves(series(values, is_noisy=is_noisy)), ".png").startswith(b"\x89PNG")


def test_values_that_are_no_numbers_are_left_out() -> None:
    x, y = series([2.0, math.nan, 1.0, math.inf]).finite()
    assert (x.tolist(), y.tolist()) == ([1, 3], [2, 1])


def test_the_running_mean_of_a_constant_is_the_constant_up_to_both_ends() -> None:
    assert running_mean(np.full(200, 3.0)).tolist() == pytest.approx([3.0] * 200)


def test_the_running_mean_lies_in_the_middle_of_its_window() -> None:
    line = np.arange(200.0)
    width = window(200)
    assert width % 2 == 1
    assert running_mean(line)[width:-width] == pytest.approx(line[width:-width])


def test_few_values_are_not_smoothed() -> None:
    few = np.random.default_rng(0).random(FEWEST_TO_SMOOTH - 1)
    assert running_mean(few).tolist() == few.tolist()


@pytest.mark.parametrize("name", ["$a_{$", r"$\frac$", "_hidden", "a\x00b\ud800", "</text><script>"])
def test_any_name_can_be_drawn(name: str) -> None:
    what = Curves(title=name, x_label=name, y_label=name, series=(series([1.0, 2.0], name),), levels={"b": 1})
    for suffix in (".png", ".svg"):
        assert drawn(what, suffix)
    assert "<script>" not in drawn(what).decode()


def test_a_name_that_begins_with_a_line_still_has_its_place_in_the_legend() -> None:
    assert "_hidden" in texts(curves(series([1.0, 2.0], "_hidden"), series([1.0, 2.0], "other")))


@pytest.mark.parametrize(("n_points", "marker"), [(3, "o"), (MOST_MARKED, "o"), (MOST_MARKED + 1, "")])
def test_few_points_are_marked(n_points: int, marker: str) -> None:
    (line,) = plot(curves(series([1.0] * n_points)), new_figure(4, 3).subplots())
    assert str(line.get_marker()) == marker


@pytest.mark.parametrize(("values", "are_drawn"), [([1.0, math.nan, 2.0], False), ([1.0, 2.0, 3.0], True)])
def test_two_points_make_no_figure(values: list[float], are_drawn: bool) -> None:
    assert curves(series(values)).are_drawn == are_drawn
