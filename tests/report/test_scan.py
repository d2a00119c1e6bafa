"""The heat map of a scan shows every residue at its position, the wild type and nothing that is not there."""

import io
import re
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from biofm.report import draw_scan
from biofm.report.scan import ORDER

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def scores_of(sequence: str) -> NDArray[np.float32]:
    scores = np.random.default_rng(20).normal(-2, 2, (len(sequence), 20)).astype(np.float32)
    is_wild = np.array(list(sequence))[:, None] == np.array(list(RESIDUES))
    scores[is_wild] = 0
    scores[~is_wild.any(1)] = np.nan
    return scores


def drawn(sequence: str, suffix: str = ".svg", first_position: int = 1) -> bytes:
    handle = io.BytesIO()
    draw_scan(sequence, scores_of(sequence), RESIDUES, first_position, "a_b: $m$", handle, suffix)
    return handle.getvalue()


def texts_of(svg: bytes) -> list[str]:
    """The texts of a figure in the order in which they were drawn: matplotlib keeps each in a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", svg.decode())]


def test_it_is_a_valid_file_of_every_suffix() -> None:
    assert drawn("MKV", ".png").startswith(b"\x89PNG\r\n\x1a\n")
    assert drawn("MKV", ".pdf").startswith(b"%PDF-")
    assert ElementTree.fromstring(drawn("MKV")).tag == "{http://www.w3.org/2000/svg}svg"


def positions_of(svg: bytes) -> list[int]:
    """The numbers below the rows; those of the colours' bar come last and begin below 0."""
    texts = texts_of(svg)
    end = next(i for i, text in enumerate(texts) if text.startswith("\N{MINUS SIGN}"))
    return [int(text) for text in texts[:end] if text.isdigit()]


def test_positions_are_in_the_numbering_of_the_user() -> None:
    assert positions_of(drawn("MKTAYIAKQRQISFVKSHFSRQ", first_position=24)) == [24, 30, 40]


def test_a_long_protein_goes_over_several_rows() -> None:
    assert positions_of(drawn("MKTAY" * 30)) == [1, *range(10, 90, 10), 81, *range(90, 160, 10)]


def test_colours_part_at_zero_and_cells_stand_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    images: list[AxesImage] = []
    original = Axes.imshow

    def remember(self: Axes, *args: object, **options: object) -> AxesImage:
        images.append(original(self, *args, **options))  # type: ignore[arg-type]
        return images[-1]

    monkeypatch.setattr(Axes, "imshow", remember)
    sequence = "MKXAY"
    drawn(sequence)
    (image,) = images
    shown = np.asarray(image.get_array().filled(np.nan))  # type: ignore[union-attr]
    scores = scores_of(sequence)
    assert image.norm.vmin == -image.norm.vmax  # type: ignore[operator]
    for x, y in ((0, "G"), (1, "E"), (4, "K")):
        assert shown[ORDER.index(y), x] == scores[x, RESIDUES.index(y)]
    assert shown[ORDER.index("M"), 0] == 0
    assert np.isnan(shown[:, 2]).all()


def test_the_ends_of_the_colours_say_what_they_mean() -> None:
    texts = texts_of(drawn("MKTAY"))
    assert {"red: less likely than the wild type", "blue: more likely"} <= set(texts)
    scores = scores_of("MKTAY")
    limit = np.quantile(np.abs(scores[scores != 0]), 0.99)
    assert f"the colours reach from {-limit:.2g} to {limit:.2g}, in this picture alone" in texts


@pytest.mark.parametrize(
    ("scores", "note"),
    [
        ([-1.0] * 20, ["100 % of the scores are below 0: compare them with each other"]),
        ([-1.0] * 19 + [1.0], ["95 % of the scores are below 0: compare them with each other"]),
        ([2.0] * 20, ["100 % of the scores are above 0: compare them with each other"]),
        ([-1.0] * 18 + [1.0] * 2, []),
        ([0.0] * 20, []),
    ],
)
def test_scores_of_mostly_one_sign_have_a_note(scores: list[float], note: list[str]) -> None:
    handle = io.BytesIO()
    draw_scan("M", np.array([scores], np.float32), RESIDUES, 1, "t", handle, ".svg")
    assert [text for text in texts_of(handle.getvalue()) if "of the scores are" in text] == note


@pytest.mark.parametrize("sequence", ["M", "XX", "MKTAY" * 90])
def test_any_protein_is_drawn_without_a_warning(sequence: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # matplotlib 3.8 of newer pyparsing
        drawn(sequence, ".png")
