"""The confusion matrix shows every count, or so many classes as can be read."""

import io
import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from biofm.report import draw_confusion

COUNTS = np.array([[90, 10], [1234, 0]])


def drawn(counts: NDArray[np.int64], classes: list[str], suffix: str = ".svg") -> bytes:
    handle = io.BytesIO()
    draw_confusion(counts, classes, handle, suffix)
    return handle.getvalue()


def texts(counts: NDArray[np.int64], classes: list[str]) -> list[str]:
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", drawn(counts, classes).decode(), re.DOTALL)]


def test_every_count_and_both_axes_can_be_read() -> None:
    shown = texts(COUNTS, ["helix", "strand"])
    names = {"predicted class", "true class", "share of the cases of the true class", "(darker is higher)"}
    assert {"90", "10", "1,234", "0"} | names <= set(shown)
    assert (shown.count("helix"), shown.count("strand")) == (2, 2)


def test_the_true_class_goes_down_and_its_shares_add_up_to_one(images: list[NDArray[Any]]) -> None:
    drawn(COUNTS, ["a", "b"])
    assert images[0].tolist() == [[0.9, 0.1], [1, 0]]


@pytest.mark.parametrize("n", [1, 13, 61])
def test_few_and_many_classes_are_drawn(n: int) -> None:
    shown = texts(np.eye(n, dtype=np.int64) * 77_777, [f"class {i}" for i in range(n)])
    assert ("77,777" in shown) == (n <= 12)
    assert ("class 0" in shown) == (n <= 60)
    assert (f"predicted class ({n} classes, too many to name)" in shown) == (n > 60)


def test_a_class_that_never_occurs_is_no_fault() -> None:
    assert drawn(np.zeros((3, 3), np.int64), ["a", "b", "c"], ".png").startswith(b"\x89PNG")


def test_names_are_shown_as_they_are_and_cut_where_they_are_long() -> None:
    shown = texts(COUNTS, ["$x_{$", "y" * 100])
    assert "$x_{$" in shown
    assert "y" * 24 + "…" in shown
