"""The scatter shows every panel, says its numbers, and draws many rows as a density."""

import io
import re
import warnings
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from biofm.report import ScatterPanel, draw_scatter


def panel(name: str, n_rows: int, spearman: float | None = 0.5) -> ScatterPanel:
    values = np.random.default_rng(0).normal(size=(2, n_rows))
    return ScatterPanel(name, values[0], values[1], spearman)


def drawn(panels: list[ScatterPanel], suffix: str, measured: str = "fitness", **options: Any) -> bytes:
    handle = io.BytesIO()
    draw_scatter(panels, measured, handle, suffix, **options)
    return handle.getvalue()


def texts_of(svg: bytes) -> list[str]:
    """matplotlib keeps each text, or each of its lines, in a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg.decode(), re.DOTALL)]


def test_the_picture_is_a_valid_file_of_every_suffix() -> None:
    assert drawn([panel("a", 30)], ".png").startswith(b"\x89PNG\r\n\x1a\n")
    assert drawn([panel("a", 30)], ".pdf").startswith(b"%PDF-")
    assert ElementTree.fromstring(drawn([panel("a", 30)], ".svg")).tag == "{http://www.w3.org/2000/svg}svg"


def test_every_panel_has_its_name_and_numbers() -> None:
    svg = drawn([panel("first", 30), panel("second", 2000, -0.1234), panel("$x_{", 20, None)], ".svg")
    shown = "\n".join(texts_of(svg))
    numbers = ("Spearman 0.500, 30 rows", "Spearman -0.123, 2,000 rows", "Spearman not defined, 20 rows")
    for text in ("first", "second", "$x_{", "fitness", *numbers):
        assert text in shown


@pytest.mark.parametrize("n_rows", [20, 600])
def test_measurements_lie_across_and_scores_upright(n_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Axes] = []
    monkeypatch.setattr(Axes, "set_title", lambda self, *_, **__: seen.append(self))
    one = panel("a", n_rows)
    one = one._replace(measured=one.measured + 100)
    drawn([one], ".png", score_name="prediction")
    (axes,) = seen
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("fitness", "prediction")
    assert axes.get_xlim()[0] > 90
    assert axes.get_ylim()[1] < 10


@pytest.mark.parametrize(("n_rows", "is_density"), [(500, False), (501, True)])
def test_many_rows_are_drawn_as_a_density(
    n_rows: int, is_density: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []
    plain_hexbin = Axes.hexbin

    def hexbin(axes: Axes, *values: Any, **options: Any) -> PolyCollection:
        used.append(n_rows)
        return plain_hexbin(axes, *values, **options)

    monkeypatch.setattr(Axes, "hexbin", hexbin)
    drawn([panel("a", n_rows)], ".png")
    assert bool(used) == is_density


def test_panels_share_one_scale_of_shades_and_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # matplotlib 3.8 of newer pyparsing
        shown = texts_of(drawn([panel(f"p{i}", 600) for i in range(2)], ".svg"))
    assert shown.count("rows in a hexagon (darker is more)") == 1


@pytest.mark.parametrize(("width", "name"), [(0.0, "90% interval"), (0.2, "mean 90% interval")])
def test_predictions_have_the_line_of_equal_values_and_their_intervals(width: float, name: str) -> None:
    widths = 1 + width * np.arange(30.0)
    one = panel("a", 30)._replace(interval=(0.4, 0.6), half_width=widths)
    shown = texts_of(drawn([one], ".svg", has_diagonal=True, interval_name="90% interval"))
    assert {"y = x", name} <= set(shown)
    assert "Spearman 0.500, 30 rows\n95 % interval 0.400 to 0.600\n" in "\n".join([*shown, ""])


def test_an_interval_over_few_rows_is_called_unreliable() -> None:
    shown = [texts_of(drawn([panel("a", n)._replace(interval=(0.4, 0.6))], ".svg")) for n in (19, 20)]
    assert "95 % interval 0.400 to 0.600, unreliable" in "\n".join(shown[0])
    assert "unreliable" not in "\n".join(shown[1])


def test_intervals_without_end_are_not_drawn() -> None:
    one = panel("a", 30)._replace(half_width=np.full(30, np.inf))
    shown = texts_of(drawn([one], ".svg", has_diagonal=True, interval_name="interval"))
    assert "y = x" in shown
    assert "interval" not in shown


@pytest.mark.parametrize(("name", "is_named"), [("protein-nano", True), ("esm2-8m", False)])
def test_a_demonstration_model_is_named_in_the_figure(name: str, is_named: bool) -> None:
    shown = texts_of(drawn([panel("a", 30)], ".svg", models=[name, name]))
    assert ("protein-nano is a demonstration model" in shown) == is_named
