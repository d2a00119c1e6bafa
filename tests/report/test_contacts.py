"""Maps of contacts: what stands above the diagonal, what below, at every size."""

import io
import re
import warnings
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from biofm.evaluation import StructureContacts
from biofm.report import draw_contacts

N = 20
MISSING = [7, 8]


def make_map(n_residues: int) -> NDArray[np.float32]:
    values = np.random.default_rng(20).random((n_residues, n_residues), dtype=np.float32)
    return np.maximum(values, values.T)


@pytest.fixture
def truth() -> StructureContacts:
    places = np.delete(np.arange(N), MISSING)
    touch = np.zeros((len(places), len(places)), bool)
    touch[0, -1] = touch[-1, 0] = touch[1, 2] = touch[2, 1] = True  # residues 1 and 20, 2 and 3
    return StructureContacts(source="s.pdb, chain A", identity=1.0, places=places, touch=touch)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The pictures within the figure, as masked arrays, in the order in which they are drawn."""
    pictures: list[Any] = []
    plain_imshow = Axes.imshow

    def imshow(axes: Axes, values: Any, **options: Any) -> AxesImage:
        pictures.append(values)
        return plain_imshow(axes, values, **options)

    monkeypatch.setattr(Axes, "imshow", imshow)
    return pictures


def draw(n_residues: int, truth: StructureContacts | None, suffix: str = ".svg", title: str = "p") -> bytes:
    handle = io.BytesIO()
    draw_contacts(title, make_map(n_residues), truth, 6, handle, suffix)
    return handle.getvalue()


def test_alone_a_prediction_fills_both_triangles(shown: list[Any]) -> None:
    draw(N, None)
    (picture,) = shown
    far = abs(np.subtract.outer(np.arange(N), np.arange(N))) >= 6
    np.testing.assert_array_equal(~picture.mask, far)
    np.testing.assert_array_equal(picture.data, make_map(N))


def test_a_structure_takes_the_lower_triangle(shown: list[Any], truth: StructureContacts) -> None:
    svg = draw(N, truth)
    grey, contacts, prediction = (~picture.mask for picture in shown)
    assert not np.tril(prediction).any()
    assert prediction.sum() == (N - 6) * (N - 5) / 2
    assert np.argwhere(contacts).tolist() == [[N - 1, 0]]  # the near one is left out
    assert np.flatnonzero(grey[-1]).tolist() == MISSING
    assert "above the diagonal: predicted; below: in the structure" in svg.decode()


@pytest.mark.parametrize("n_residues", [1, 2, 6, 7, 900])
def test_every_length_is_drawn_without_a_warning(n_residues: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # matplotlib 3.8 of newer pyparsing
        assert draw(n_residues, None, ".png").startswith(b"\x89PNG")


def test_a_name_is_shown_as_it_is_and_a_long_one_is_shortened() -> None:
    assert "<!-- $a_{$ -->" in draw(N, None, title="$a_{$").decode()
    texts = re.findall(r"<!-- (x+…) -->", draw(N, None, title="x" * 100).decode())
    assert texts == ["x" * 60 + "…"]
