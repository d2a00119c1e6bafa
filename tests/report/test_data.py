"""The picture of a data set says its numbers, whatever the data set is like."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes
from matplotlib.container import BarContainer

import biofm
from biofm.corpus import Description, Leakage
from biofm.corpus.describe import Histogram
from biofm.report import draw_dataset
from biofm.report.data import choose_ticks


@pytest.fixture
def found(tmp_path: Path) -> Description:
    for name, proteins in (("a", ["MKTAYIAKQR", "MKT", "MKT", "MXB"]), ("b", ["MKT", "MVLSPADKTN"])):
        (tmp_path / f"{name}.fasta").write_text("".join(f">p\n{protein}\n" for protein in proteins))
    return biofm.describe([tmp_path / "a.fasta", tmp_path / "b.fasta"])


def drawn(found: Description, suffix: str = ".svg") -> bytes:
    handle = io.BytesIO()
    draw_dataset(found, handle, suffix)
    return handle.getvalue()


def texts_of(found: Description) -> list[str]:
    """matplotlib keeps each text in a comment."""
    return [text.strip() for text in re.findall(r"<!--(.*?)-->", drawn(found).decode(), re.DOTALL)]


def test_the_picture_is_a_valid_file_of_every_suffix(found: Description) -> None:
    assert drawn(found, ".png").startswith(b"\x89PNG\r\n\x1a\n")
    assert drawn(found, ".pdf").startswith(b"%PDF-")
    assert ElementTree.fromstring(drawn(found)).tag == "{http://www.w3.org/2000/svg}svg"


def test_inputs_letters_and_copies_have_their_numbers(found: Description) -> None:
    texts = texts_of(found)
    assert {"a.fasta, b.fasta", "6 sequences, 32 residues", "a.fasta", "b.fasta"} <= set(texts)
    assert {"4 (66.7%)", "2 (33.3%)"} <= set(texts)
    assert "2 other letters (X, B)" in texts
    assert "2 sequences repeat another (33.3%)" in texts
    assert {"median 3 residues (dashed line)", "length (residues, logarithmic scale)"} <= set(texts)
    assert {"% of sequences", "% of residues", "amino acid"} <= set(texts)


def test_a_split_has_its_parts_and_what_leaks(found: Description) -> None:
    leakage = Leakage(
        part="test",
        other="train",
        n_sequences=9,
        n_copies=1,
        n_sampled=5,
        n_related=2,
        n_searched=7,
        n_other=70,
    )
    split = {"train": 70, "validation": 0, "test": 9, "removed": 21}
    texts = texts_of(
        replace(
            found,
            n_sequences=100,
            split=split,
            split_method="identity",
            leakage=(leakage,),
        )
    )
    assert {"Split: identity", "sequences in each part", "70 (70.0%)", "21 (21.0%)"} <= set(texts)
    assert "validation" not in texts
    assert "1 of 9 in test is a copy of a training sequence" in texts
    assert "2 of 5 sampled from test have a relative in training" in texts


def test_names_of_inputs_stand_in_the_legend_as_they_are(found: Description) -> None:
    names = ["_hidden", r"$\badmacro{$"]
    sources = tuple(
        replace(one, name=name, n_elsewhere=0) for one, name in zip(found.sources, names, strict=True)
    )
    shown = texts_of(replace(found, sources=sources))
    assert [shown.count(name) for name in names] == [3, 3]  # in the legend, among the inputs and the copies


@pytest.mark.parametrize("n", [1, 5, 6, 30])
def test_any_number_of_inputs_with_any_name_fits(n: int, found: Description) -> None:
    names = [f"$x_{{ {'long ' * i}<&>\x00é{i}" for i in range(n)]
    sources = tuple(replace(found.sources[i % 2], name=name) for i, name in enumerate(names))
    texts = texts_of(replace(found, name="$\\frac", sources=sources))
    assert ("and 25 more" in texts) == (n == 30)
    assert ElementTree.fromstring(drawn(replace(found, sources=sources))).tag.endswith("svg")


def test_each_bin_of_the_lengths_has_a_bar_of_its_own(
    found: Description, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_bars: list[BarContainer] = []
    plain_bar = Axes.bar

    def bar(axes: Axes, *values: Any, **options: Any) -> BarContainer:
        drawn_bars.append(plain_bar(axes, *values, **options))
        return drawn_bars[-1]

    monkeypatch.setattr(Axes, "bar", bar)
    lengths = Histogram(edges=(10, 20, 30, 40), counts=(1, 1, 0))
    drawn(replace(found, sources=(replace(found.sources[0], lengths=lengths),)))
    bars = drawn_bars[0].patches
    assert [(it.get_x(), it.get_width(), it.get_height()) for it in bars] == [(10, 10, 50), (20, 10, 50)]
    assert {it.get_edgecolor() for it in bars} == {(1.0, 1.0, 1.0, 1.0)}  # a gap on white


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (30, 3000, [50, 100, 200, 500, 1000, 2000]),
        (1, 100_000, [1, 10, 100, 1000, 10_000, 100_000]),
        (210, 290, [220, 240, 260, 280]),
        (103, 643, [103, 200, 300, 400, 500, 600]),
        (7, 8, [7, 8]),
    ],
)
def test_the_axis_of_lengths_has_ticks_that_can_be_read(low: float, high: float, ticks: list[int]) -> None:
    assert choose_ticks(low, high) == ticks
