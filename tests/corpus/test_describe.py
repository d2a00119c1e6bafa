"""What is said of a data set, counted by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from biofm_datasets.store import open_store

import biofm
from biofm.corpus import Description, describe, describe_store, leakage

FIRST = ["MKTAYIAKQR", "MKT", "MKTAYIAKQR", "MXBJ", "MKTAYIAKQR"]
SECOND = ["MKT", "MVLSPADKTN", "MKT", "MKV"]


def write(path: Path, proteins: list[str]) -> Path:
    path.write_text("".join(f">{i}\n{protein}\n" for i, protein in enumerate(proteins)))
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write(tmp_path / "a.fasta", FIRST), write(tmp_path / "b.fasta", SECOND)]


def description_of(folder: Path, n_sampled: int = 0) -> Description:
    return describe_store(open_store(folder), "s", n_sampled=n_sampled, seed=0, progress=lambda *stage: None)


def test_copies_within_and_between_inputs_are_counted(files: list[Path]) -> None:
    found = biofm.describe(files)
    first, second = found.sources
    assert (first.n_sequences, first.n_distinct, first.n_elsewhere) == (5, 3, 1)
    assert (second.n_sequences, second.n_distinct, second.n_elsewhere) == (4, 3, 1)
    assert (found.n_sequences, found.n_distinct) == (9, 5)
    assert [(it.sources, it.n_sequences) for it in found.shared] == [(("a.fasta", "b.fasta"), 1)]


def test_letters_and_lengths_are_those_of_the_residues(files: list[Path]) -> None:
    found = biofm.describe(files[0])
    text = "".join(FIRST)
    assert found.n_residues == sum(found.letters.values()) == len(text)
    assert found.letters["K"] == text.count("K")
    assert found.letters["<unk>"] == 1, "J is unknown to the alphabet"
    assert found.n_unknown == 3
    assert next(iter(found.letters)) in ("A", "K"), "the commonest first"
    assert (found.quantiles["shortest"], found.quantiles["median"], found.quantiles["longest"]) == (3, 10, 10)
    assert found.quantiles["mean"] == pytest.approx(len(text) / 5)


def test_the_histogram_holds_every_sequence(files: list[Path]) -> None:
    for source in biofm.describe(files).sources:
        assert sum(source.lengths.counts) == source.n_sequences
        assert list(source.lengths.edges) == sorted(set(source.lengths.edges))
    (alike,) = biofm.describe(write(files[0].parent / "c.fasta", ["MKT", "MKV"])).sources
    assert alike.lengths.counts == (2,)


def test_a_store_is_described_as_its_files_are(files: list[Path], tmp_path: Path) -> None:
    biofm.prepare(files, tmp_path / "store")
    from_files, from_store = biofm.describe(files), biofm.describe(tmp_path / "store")
    for name in ("sources", "letters", "quantiles", "shared", "n_distinct", "n_unknown", "split"):
        assert getattr(from_files, name) == getattr(from_store, name)


def test_the_blocks_leave_no_trace(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    biofm.prepare(files, tmp_path / "store")
    whole = description_of(tmp_path / "store")
    for n_tokens in (1, 20):
        monkeypatch.setattr(describe, "BLOCK_TOKENS", n_tokens)
        assert description_of(tmp_path / "store") == whole


Random = Callable[[int], str]


@pytest.fixture
def leaky(random_protein: Random, mutate: Callable[[str, float], str], tmp_path: Path) -> Path:
    """A store of which half the test proteins have a relative in training, and a quarter a copy."""
    proteins = [random_protein(100) for _ in range(40)]
    held_out = proteins[:5] + [mutate(protein, 0.6) for protein in proteins[5:10]]
    held_out += [random_protein(100) for _ in range(10)]
    rows = [f"{protein},train" for protein in proteins] + [f"{protein},test" for protein in held_out]
    (tmp_path / "t.csv").write_text("\n".join(["seq,set", *rows]))
    biofm.prepare(tmp_path / "t.csv", tmp_path / "store", column="seq", split="column", split_column="set")
    return tmp_path / "store"


def test_copies_and_relatives_of_held_out_proteins_are_found(leaky: Path) -> None:
    (found,) = description_of(leaky, n_sampled=100).leakage
    assert (found.part, found.n_sequences, found.n_copies) == ("test", 20, 5)
    assert (found.n_sampled, found.n_related) == (20, 10)
    assert (found.n_searched, found.n_other) == (40, 40)


def test_a_sample_is_what_was_asked_for(leaky: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (none,), (few,) = (description_of(leaky, n_sampled=n).leakage for n in (0, 4))
    assert (none.n_copies, none.n_sampled, none.n_searched) == (5, 0, 0)
    assert few.n_sampled == 4
    monkeypatch.setattr(leakage, "SEARCHED_TOKENS", 1100)
    (part,) = description_of(leaky, n_sampled=4).leakage
    assert (part.n_searched, part.n_other) == (10, 40)


def test_a_split_by_identity_or_by_clusters_lets_no_relative_through(
    random_protein: Random, mutate: Callable[[str, float], str], tmp_path: Path
) -> None:
    proteins = [mutate(random_protein(100), 1) for _ in range(30)]
    proteins += [mutate(protein, 0.7) for protein in proteins]
    path = write(tmp_path / "p.fasta", proteins)
    related = {}
    for split in ("random", "identity", "cluster"):
        biofm.prepare(path, tmp_path / split, split=split, test=10, validation=10, split_tool="kmer")
        found = description_of(tmp_path / split, n_sampled=10).leakage
        assert [(it.part, it.other) for it in found] == list(leakage.PAIRS)
        related[split] = [it.n_related for it in found]
    assert min(related["random"]) > 0
    assert related["identity"] == related["cluster"] == [0, 0, 0]
    record = open_store(tmp_path / "cluster").record
    assert record.split.parameters["n_clusters"] == 30
    assert record.notices == {"sequences in the largest of 30 clusters": 2}
    assert record.split.counts["removed"] == 0


def test_real_proteins_are_described_as_their_card_says(real_data: Path) -> None:
    found = biofm.describe(real_data / "protein" / "uniref90_10k.fasta.gz")
    assert (found.n_sequences, found.n_residues, found.n_distinct) == (10_000, 3_353_645, 10_000)
    assert found.quantiles["median"] == 277.5
    assert (found.quantiles["shortest"], found.quantiles["longest"]) == (12, 8001)
    assert 0.09 < found.letters["L"] / found.n_residues < 0.11


def test_nothing_is_said_of_a_split_where_there_is_none(files: list[Path], tmp_path: Path) -> None:
    biofm.prepare(files, tmp_path / "store")
    found: Any = description_of(tmp_path / "store", n_sampled=5)
    assert (found.split, found.split_method, found.leakage) == ({}, "", ())
    assert np.isfinite(list(found.quantiles.values())).all()
