"""``biofm neighbours``: what it prints and draws, and what it refuses to open."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

FASTA = b">a\nMKTAYIAKQR\n>b\nMVLSPADKTN\n>c\nMKTAYIAKQR\n>d\nGSAGSAGSAG\n"


@pytest.fixture
def embedded(biofm: Any) -> Path:
    """``p.h5ad`` of four proteins."""
    Path("p.fasta").write_bytes(FASTA)
    assert biofm("embed", "p.fasta", "-o", "p.h5ad", "-q").status == 0
    return Path("p.h5ad")


def test_neighbours_are_printed_and_drawn(biofm: Any, embedded: Path) -> None:
    outcome = biofm("neighbours", "p.h5ad", "-o", "p.png", "--json")
    nearest = {row["protein"]: row["nearest"] for row in json.loads(outcome.out)}
    assert nearest["c"] == "a"  # the same sequence
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    refused = biofm("neighbours", "p.fasta")
    what = "p.fasta: this is not an .h5ad file of embeddings. Create one with `biofm embed`"
    assert (refused.status, refused.err.strip()) == (1, f"biofm: {what}")


def with_external_storage(file: h5py.File) -> None:
    file.create_dataset("X", (4, 8), "f4", external=[("secret", 0, 128)])


def with_a_virtual_dataset(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4, 8), "f4")
    layout[:] = h5py.VirtualSource("secret", "X", (4, 8))
    file.create_virtual_dataset("X", layout)


@pytest.mark.parametrize("lead_elsewhere", [with_external_storage, with_a_virtual_dataset])
def test_data_that_lie_in_another_file_are_refused_in_one_line(
    lead_elsewhere: Any, biofm: Any, embedded: Path
) -> None:
    with h5py.File("secret", "w") as file:
        file["X"] = np.ones((4, 8), "f4")
    with h5py.File(embedded, "r+") as file:
        del file["X"]
        lead_elsewhere(file)

    outcome = biofm("neighbours", embedded, "-o", "p.png")

    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.startswith("biofm: p.h5ad, /X: ")
    assert "its data are in other files. If you trust its source" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("p.png").exists()


@pytest.mark.parametrize("name", ["p.npz", "p.csv"])
def test_embeddings_in_another_format_are_named_with_the_way_on(name: str, biofm: Any) -> None:
    Path("p.fasta").write_bytes(FASTA)
    biofm("embed", "p.fasta", "-o", name, "-q")

    outcome = biofm("neighbours", name)

    assert outcome.status == 1
    assert f"read from .h5ad files, not from {Path(name).suffix} files. Embed again" in outcome.err


def test_proteins_that_equal_the_mean_are_counted_in_a_notice(biofm: Any, embedded: Path) -> None:
    with h5py.File(embedded, "r+") as file:
        file["X"][:] = 0.1
    outcome = biofm("neighbours", embedded)
    assert outcome.status == 0
    notice = "proteins equal to the mean of all proteins, so that their cosine to any other is 0"
    assert f"notice: {notice}: 4" in outcome.err
    assert "0.000" in outcome.out


def test_several_neighbours_are_ranked_and_fewer_than_asked_are_a_notice(biofm: Any, embedded: Path) -> None:
    outcome = biofm("neighbours", embedded, "--top", "50")
    assert "notice: The file holds 4 proteins: 3 neighbours of each, not 50.\n" in outcome.err
    header, *rows = [line.split() for line in outcome.out.splitlines()]
    assert header == ["protein", "rank", "nearest", "cosine"]
    assert [row[:2] for row in rows[:4]] == [["a", "1"], ["a", "2"], ["a", "3"], ["b", "1"]]

    found = json.loads(biofm("neighbours", embedded, "--top", "2", "--json").out)
    assert [(row["protein"], row["rank"]) for row in found[:3]] == [("a", 1), ("a", 2), ("b", 1)]
    outcome = biofm("neighbours", embedded)
    assert outcome.out.split()[:3] == ["protein", "nearest", "cosine"]
    assert "The file holds" not in outcome.err
