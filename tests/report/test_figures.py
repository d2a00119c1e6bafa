"""Figures are valid files of every format we offer, and show what they should."""

import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.cluster import hierarchy

from biofm import models
from biofm.core import OutputError
from biofm.report import (
    Curves,
    ScatterPanel,
    Series,
    check_figure_suffix,
    draw_contacts,
    draw_curves,
    draw_neighbours,
    draw_scan,
    draw_scatter,
)
from biofm.report import neighbours as report
from biofm.report.figure import ACROSS_ZERO, name_demonstrations

Draw = Callable[[BinaryIO, str], None]


def similarity_of_pairs(n_pairs: int) -> NDArray[np.float32]:
    """Rows i and i + n_pairs are alike, and like no other."""
    directions = np.tile(np.eye(n_pairs), (2, 1)) + 0.05 * np.random.default_rng(20).random(
        (2 * n_pairs, n_pairs)
    )
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    similarity: NDArray[np.float32] = (unit @ unit.T).astype(np.float32)
    return similarity


def neighbours(handle: BinaryIO, suffix: str) -> None:
    draw_neighbours([f"p{i}" for i in range(8)], similarity_of_pairs(4), handle, suffix)


def drawn(draw: Draw, suffix: str) -> bytes:
    handle = io.BytesIO()
    draw(handle, suffix)
    return handle.getvalue()


def texts_of(svg: bytes) -> list[str]:
    """The texts of a figure in the order in which they were drawn: matplotlib keeps each in a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg.decode())]


def test_figures_are_valid_files_of_every_suffix() -> None:
    assert drawn(neighbours, ".png").startswith(b"\x89PNG\r\n\x1a\n")
    assert drawn(neighbours, ".pdf").startswith(b"%PDF-")
    assert ElementTree.fromstring(drawn(neighbours, ".svg")).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("name", ["a.png", "folder.csv/b.SVG", "c.tar.pdf"])
def test_a_suffix_that_can_be_drawn_is_given_back_in_lower_case(name: str) -> None:
    assert check_figure_suffix(Path(name)) == Path(name).suffix.lower()


@pytest.mark.parametrize(("name", "fault"), [("map.jpg", ".jpg"), ("map", "no suffix")])
def test_another_suffix_is_an_error_that_lists_the_right_ones(name: str, fault: str) -> None:
    with pytest.raises(OutputError) as error:
        check_figure_suffix(Path(name))
    assert str(error.value) == f"{name}: {fault} is not a format of figures. End in .png, .svg, .pdf"


def test_similar_proteins_stand_side_by_side() -> None:
    shown = [text for text in texts_of(drawn(neighbours, ".svg")) if text.startswith("p")]

    across, down = shown[:8], shown[8:]
    assert sorted(across) == [f"p{i}" for i in range(8)]
    assert across == down
    for left, right in zip(across[::2], across[1::2], strict=True):
        assert abs(int(left[1:]) - int(right[1:])) == 4, across


def test_the_colours_stand_in_the_order_of_the_names(images: list[NDArray[Any]]) -> None:
    drawn(neighbours, ".svg")

    (values,) = images
    alike = np.kron(np.eye(4), np.ones((2, 2))) > 0  # blocks of two along the diagonal
    assert values[alike].min() > 0.9
    assert values[~alike].max() < 0.5


def test_a_name_with_dollar_signs_is_shown_as_it_is() -> None:
    handle = io.BytesIO()
    names = ["$a_{$", r"$\frac$", "c"]
    draw_neighbours(names, np.eye(3, dtype=np.float32), handle, ".svg")
    assert set(names) <= set(texts_of(handle.getvalue()))


@pytest.mark.parametrize("name", ["x" * 400, "a\x01b", "a\ud800b", r"$\badmacro{$", "_a", ""])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_any_name_of_a_user_leaves_room_for_the_figure_and_is_valid(name: str, suffix: str) -> None:
    square = np.eye(3, dtype=np.float32)
    panel = ScatterPanel(name, np.arange(3.0), np.arange(3.0), 1.0)
    scores = np.ones((2, 20), np.float32)
    curves = Curves(title=name, x_label=name, y_label=name, series=(Series(name=name, x=[1], y=[1]),) * 2)
    drawings: list[Draw] = [
        lambda handle, suffix: draw_neighbours([name] * 3, square, handle, suffix, items="proteins"),
        lambda handle, suffix: draw_contacts(name, square, None, 1, handle, suffix),
        lambda handle, suffix: draw_scan("MK", scores, "ACDEFGHIKLMNPQRSTVWY", 1, name, handle, suffix),
        lambda handle, suffix: draw_scatter([panel], name, handle, suffix),
        lambda handle, suffix: draw_curves(curves, handle, suffix),
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="constrained_layout")
        for draw in drawings:
            figure = drawn(draw, suffix)
            assert suffix == ".png" or ElementTree.fromstring(figure).tag.endswith("svg")


def test_rows_of_the_same_name_are_told_apart_and_their_order_is_said() -> None:
    handle = io.BytesIO()
    labels = ["HBB", "HBA", "HBB", "x" * 40 + "1", "x" * 40 + "2"]
    draw_neighbours(labels, np.eye(5, dtype=np.float32), handle, ".svg", items="proteins")
    shown = texts_of(handle.getvalue())
    assert {"HBA", "HBB (row 1)", "HBB (row 3)"} <= set(shown)
    assert {f"{'x' * 30}… (row {number})" for number in (4, 5)} <= set(shown)
    assert "similar proteins lie side by side, not in the order of the file" in shown


@pytest.mark.parametrize(("models", "end"), [(["my_$model"], " by my_$model"), ([""], ""), ([], "")])
def test_the_title_names_the_model_if_it_is_known(models: list[str], end: str) -> None:
    handle = io.BytesIO()
    draw_neighbours(["a", "b", "c"], np.eye(3, dtype=np.float32), handle, ".svg", models=models)
    assert f"Similarity of the embeddings{end}" in texts_of(handle.getvalue())


def test_too_many_names_to_read_are_left_out_and_that_is_said() -> None:
    handle = io.BytesIO()
    draw_neighbours([f"p{i}" for i in range(62)], similarity_of_pairs(31), handle, ".svg")
    shown = texts_of(handle.getvalue())
    assert "62 rows, too many to name" in shown
    assert not [text for text in shown if text.startswith("p")]


def test_many_proteins_are_drawn_without_the_slow_best_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def linkage(distance: NDArray[np.float64], method: str, optimal_ordering: bool) -> NDArray[np.float64]:
        asked.append(optimal_ordering)
        tree: NDArray[np.float64] = plain_linkage(distance, method)
        return tree

    plain_linkage = hierarchy.linkage
    monkeypatch.setattr(hierarchy, "linkage", linkage)
    monkeypatch.setattr(report, "MOST_OPTIMAL", 7)
    for n_pairs in (3, 4):
        draw_neighbours(["p"] * 2 * n_pairs, similarity_of_pairs(n_pairs), io.BytesIO(), ".svg")
    assert asked == [True, False]


def test_figures_need_no_display_and_warn_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # matplotlib 3.8 of newer pyparsing
        drawn(neighbours, ".png")


@pytest.mark.parametrize(
    ("given", "clause"),
    [
        ([], ""),
        (["esm2-8m"], ""),
        (["small", "esm2-8m", "small"], "small is a demonstration model"),
        (["small", "tiny"], "small and tiny are demonstration models"),
    ],
)
def test_the_models_that_come_with_biofm_are_the_demonstration_models(
    given: list[str], clause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "bundled_models", lambda: ("small", "tiny"))
    assert name_demonstrations(given) == clause


def test_both_maps_across_zero_are_blue_where_high_and_their_bars_say_so() -> None:
    from matplotlib import colormaps

    red, _, blue, _ = colormaps[ACROSS_ZERO](0.9)
    assert blue > red
    similarity, scan = io.BytesIO(), io.BytesIO()
    draw_neighbours(["a", "b", "c", "d"], similarity_of_pairs(2), similarity, ".svg")
    draw_scan("MK", np.zeros((2, 20), np.float32), "ACDEFGHIKLMNPQRSTVWY", 1, "scan", scan, ".svg")
    assert b"blue is similar, red is opposite" in similarity.getvalue()
    assert b"red: less likely than the wild type" in scan.getvalue()
    assert b"blue: more likely" in scan.getvalue()
