"""From a file of embeddings to who resembles whom, and a picture of it."""

import re
from pathlib import Path

import numpy as np
import pytest

import biofm
from biofm import report
from biofm.core import InputError, OptionError, OutputError

FAMILIES = {"g1": "GSAGSAGSAGSA", "w1": "WWFYWFWYFWWY", "g2": "GSAGSAGSAGSG", "w2": "WWFYWFWYFWWF"}


@pytest.fixture
def h5ad(tmp_path: Path) -> Path:
    fasta = tmp_path / "in.fasta"
    fasta.write_text("".join(f">{id_}\n{sequence}\n" for id_, sequence in FAMILIES.items()))
    biofm.embed(fasta, tmp_path / "out.h5ad", layer=0)  # token vectors alone: whatever was learnt, pairs meet
    return tmp_path / "out.h5ad"


def test_nearly_equal_proteins_are_neighbours(h5ad: Path) -> None:
    found = biofm.neighbours(h5ad, top=3)

    assert found.ids == list(FAMILIES)
    assert found.nearest.shape == found.cosine.shape == (4, 3)
    assert [found.of(row)[0][0] for row in range(4)] == ["g2", "w2", "g1", "w1"]
    assert (np.diff(found.cosine) <= 0).all()
    assert biofm.neighbours(h5ad).of(0) == found.of(0)[:1]


@pytest.mark.parametrize(
    ("top", "message"),
    [
        (0, "--top: 0 is too small. Give at least 1"),
        (101, "--top: 101 is too large. Give at most 100: all neighbours are kept in memory until"),
    ],
)
def test_the_number_of_neighbours_is_bounded(top: int, message: str) -> None:
    with pytest.raises(OptionError, match=f"^{message}"):
        biofm.neighbours("no-such-file.h5ad", top=top)


def test_the_picture_is_written_where_it_was_asked_for(h5ad: Path, tmp_path: Path) -> None:
    biofm.neighbours(h5ad, picture=tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_many_proteins_is_of_an_evenly_spaced_sample_and_says_so(
    h5ad: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "MOST_DRAWN", 3)
    biofm.neighbours(h5ad, picture=tmp_path / "map.svg")
    shown = re.findall(r"<!-- (.*?) -->", (tmp_path / "map.svg").read_text(), re.DOTALL)
    assert any("3 of 4 proteins, evenly spaced in the file" in text for text in shown)
    assert set(FAMILIES) & set(shown) == {"g1", "g2", "w2"}


def test_an_existing_picture_stays_without_overwrite(h5ad: Path, tmp_path: Path) -> None:
    picture = tmp_path / "map.png"
    picture.write_bytes(b"precious")
    with pytest.raises(OutputError, match="the file already exists"):
        biofm.neighbours(h5ad, picture=picture)
    assert picture.read_bytes() == b"precious"

    biofm.neighbours(h5ad, picture=picture, overwrite=True)
    assert picture.read_bytes() != b"precious"


def test_a_fault_leaves_no_picture(tmp_path: Path) -> None:
    (tmp_path / "in.h5ad").write_bytes(b"no HDF5")
    with pytest.raises(InputError, match=r"not an \.h5ad file of embeddings"):
        biofm.neighbours(tmp_path / "in.h5ad", picture=tmp_path / "map.png")
    with pytest.raises(OutputError, match=r"\.gif is not a format of figures"):
        biofm.neighbours(tmp_path / "in.h5ad", picture=tmp_path / "map.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["in.h5ad"]
