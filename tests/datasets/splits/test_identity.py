"""The splits of a store by identity and by clusters: the promise, and the two tools that keep it."""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from Bio.Align import PairwiseAligner
from biofm_datasets import DataError, read_sequences
from biofm_datasets.similarity import Similarity
from biofm_datasets.similarity.search import MIN_SCORE
from biofm_datasets.splits import Labels, Spelling, SplitOptions, identity, label_sequences, mmseqs
from biofm_datasets.splits.relatives import OWN_TOOL
from biofm_datasets.store import Alphabet, TokenStore
from biofm_datasets.store.writer import hash_sequences

LETTERS = "ACDEFGHIKLMNPQRSTVWYX"
ALPHABET = Alphabet(name="test", tokens=("<cls>", "<eos>", "<mask>", "-", *LETTERS), before=(0,), behind=(1,))

needs_mmseqs = pytest.mark.skipif(shutil.which("mmseqs") is None, reason="MMseqs2 is not installed")


def tokens_of(sequences: list[str]) -> TokenStore:
    numbers = {token: i for i, token in enumerate(ALPHABET.tokens)}
    return TokenStore.of(
        np.array([0, *(numbers.get(c, numbers["X"]) for c in s), 1], np.uint8) for s in sequences
    )


def split(
    sequences: list[str],
    scratch: Path,
    sources: dict[str, slice] | None = None,
    method: str = "identity",
    **options: Any,
) -> Labels:
    tokens = tokens_of(sequences)
    hashes = hash_sequences(tokens.tokens, tokens.lengths())
    return label_sequences(
        SplitOptions(method=method, **options),
        tokens,
        ALPHABET,
        hashes,
        None,
        sources or {},
        scratch,
        lambda *stage: None,
    )


@pytest.fixture
def families(random_protein: Callable[[int], str], mutate: Callable[[str, float], str]) -> list[str]:
    """30 families: a founder, its copy, and relatives that keep 95 to 40 percent of it."""
    founders = [random_protein(n) for n in range(80, 230, 5)]
    return [mutate(founder, identity) for founder in founders for identity in (1, 1, 0.95, 0.7, 0.4)]


@pytest.mark.parametrize(
    ("tool", "method"),
    [
        ("kmer", "identity"),
        ("kmer", "cluster"),
        pytest.param("mmseqs", "identity", marks=needs_mmseqs),
        pytest.param("mmseqs", "cluster", marks=[needs_mmseqs, pytest.mark.slow]),
    ],
)
def test_no_part_resembles_another(
    tool: str, method: str, families: list[str], reference: PairwiseAligner, tmp_path: Path
) -> None:
    """Every pair is aligned by Biopython, the slow and sure way."""
    labels, named, found, _ = split(families, tmp_path, method=method, validation=10, test=5, tool=tool)
    assert re.fullmatch(r"MMseqs2 \S+" if tool == "mmseqs" else re.escape(OWN_TOOL), named)
    counts = np.bincount(labels, minlength=4)
    assert 10 <= counts[1] <= 12
    assert 5 <= counts[2] <= 6
    assert (counts[3] > 0) == (method == "identity"), "clusters stay whole"
    train, validation, test = (np.flatnonzero(labels == part) for part in range(3))
    for one, other in ((train, validation), (train, test), (validation, test)):
        assert not [(i, j) for i in one for j in other if is_similar(reference, families[i], families[j])]
    held_out = {int(i) // 5 for i in (*validation, *test)}
    assert {int(i) // 5 for i in train} == set(range(30)) - held_out, "whole families stay"
    assert found == ({"n_clusters": 30, "largest_cluster": 5} if method == "cluster" else {})
    assert list(tmp_path.iterdir()) == []


def test_a_validation_protein_that_resembles_a_test_protein_is_replaced(
    families: list[str], tmp_path: Path
) -> None:
    """The test is drawn as it would be alone, and validation from what does not resemble it."""
    alone = split(families, tmp_path, test=20, tool="kmer").values
    both = split(families, tmp_path, test=20, validation=10, tool="kmer").values
    np.testing.assert_array_equal(both == 2, alone == 2)
    assert 10 <= np.sum(both == 1) <= 11
    assert {int(i) // 5 for i in np.flatnonzero(both == 1)}.isdisjoint(np.flatnonzero(both == 2) // 5)
    with pytest.raises(
        DataError, match=r"90 of \d+ sequences .* that no test protein resembles cannot be held"
    ):
        split(families, tmp_path, test=20, validation=90, tool="kmer")


def test_amounts_of_each_source_leave_no_relative_in_another(families: list[str], tmp_path: Path) -> None:
    """Copies of all families in two sources, and short proteins, which cannot be held out, before them."""
    sequences = ["MKT"] * 7 + families + families
    n = len(families)
    sources = {"short": slice(0, 7), "one": slice(7, 7 + n), "other": slice(7 + n, 7 + 2 * n)}
    with pytest.raises(DataError, match="2 of 0 sequences of 30 to 1,022 residues in short cannot"):
        split(sequences, tmp_path, sources, test=2, tool="kmer", per_source=True)
    del sources["short"]
    labels = split(sequences, tmp_path, sources, test=2, tool="kmer", per_source=True).values
    of_sources = [labels[sources[name]] for name in sources]
    assert all(2 <= np.sum(part == 2) <= 3 for part in of_sources)  # copies are held out together
    held_out = {int(i) // 5 for part in of_sources for i in np.flatnonzero(part == 2)}
    trained = {int(i) // 5 for part in of_sources for i in np.flatnonzero(part == 0)}
    assert held_out & trained == set()
    assert held_out | trained == set(range(30))


def is_similar(reference: PairwiseAligner, a: str, b: str) -> bool:
    """Beyond chance, as alignments of short proteins that have nothing to do with each other may look."""
    best = reference.align(a, b)[0]
    counts = best.counts()
    n_columns = counts.identities + counts.mismatches + counts.gaps
    is_covering = n_columns >= 0.5 * min(len(a), len(b))
    return bool(best.score >= MIN_SCORE and is_covering and counts.identities >= 0.3 * n_columns)


def put_on_path(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of the name mmseqs, alone but for the system's."""
    program = folder / "mmseqs"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


@pytest.mark.skipif(os.name == "nt", reason="no shell scripts there")
def test_without_a_choice_both_search_where_that_takes_minutes(
    families: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an MMseqs2 that finds nothing."""
    script = 'if [ "$1" = version ]; then echo 99; else : > "$4"; fi'
    put_on_path(tmp_path, script, monkeypatch)
    labels, tool, *_ = split(families, tmp_path, test=3)
    assert tool == f"MMseqs2 99, then {OWN_TOOL}"
    np.testing.assert_array_equal(labels, split(families, tmp_path, test=3, tool="kmer").values)
    monkeypatch.setattr(identity, "MOST_TOKENS_TWICE", 100)
    labels, tool, *_ = split(families, tmp_path, test=3)
    assert tool == "MMseqs2 99"
    assert np.sum(labels == 3) == 0


def test_without_mmseqs_our_own_method_searches(
    families: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert split(families, tmp_path, test=3).tool == OWN_TOOL
    with pytest.raises(DataError, match="there is no program mmseqs on the path"):
        split(families, tmp_path, test=3, tool="mmseqs")


def test_a_tool_that_fails_is_quoted(
    families: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = put_on_path(tmp_path, "echo out of memory; exit 3", monkeypatch)
    with pytest.raises(DataError, match=r"failed with status 3 \(out of memory\).*--split-tool kmer"):
        split(families, tmp_path, test=3)
    assert list(tmp_path.iterdir()) == [program]


@pytest.mark.slow
@needs_mmseqs
def test_both_tools_make_the_same_split_where_relatives_are_clear(
    families: list[str], tmp_path: Path
) -> None:
    by_default, by_kmer = (
        split(families, tmp_path, test=0.05, tool=tool).values for tool in ("auto", "kmer")
    )
    np.testing.assert_array_equal(by_default == 2, by_kmer == 2)


def test_the_chunks_leave_no_trace(
    families: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = split(families, tmp_path, test=6, tool="kmer").values
    monkeypatch.setattr(identity, "CHUNK_TOKENS", 1500)
    np.testing.assert_array_equal(split(families, tmp_path, test=6, tool="kmer").values, whole)


def test_the_identity_can_be_chosen(families: list[str], tmp_path: Path) -> None:
    """At 80 percent, relatives at 70 percent stay in training."""
    loose = split(families, tmp_path, test=6, tool="kmer").values
    strict = split(families, tmp_path, test=6, tool="kmer", max_identity=0.8).values
    assert np.sum(loose == 3) > np.sum(strict == 3) > 0


def test_short_and_long_proteins_are_not_held_out(random_protein: Any, tmp_path: Path) -> None:
    sequences = [random_protein(n) for n in (29, 30, 1022, 1023)]
    assert split(sequences, tmp_path, test=2, tool="kmer").values.tolist() == [0, 2, 2, 0]
    with pytest.raises(DataError, match="3 of 2 sequences of 30 to 1,022 residues cannot be held out"):
        split(sequences, tmp_path, test=3, tool="kmer")


def test_relatives_of_all_leave_nothing_to_train_on(random_protein: Any, mutate: Any, tmp_path: Path) -> None:
    founder = random_protein(100)
    with pytest.raises(DataError, match="nothing is left to train on"):
        split([founder, mutate(founder, 0.9)], tmp_path, test=1, tool="kmer")


def test_tokens_are_spelt_as_letters() -> None:
    (tokens,) = tokens_of(["MKVX-A"])
    assert Spelling(ALPHABET)(tokens) == "MKVXXA"
    assert Spelling(ALPHABET)(np.array([0, 2, 5, 1], np.uint8)) == "XC"


@pytest.mark.slow
@needs_mmseqs
@pytest.mark.parametrize("method", ["identity", "cluster"])
def test_on_real_proteins_mmseqs_finds_no_relatives_between_parts(
    method: str, real_data: Path, tmp_path: Path
) -> None:
    """Our own tool has split, and MMseqs2 with its own masks and corrections searches; some near the limit
    are alike by the one program's alignment and not by the other's.
    """
    path = real_data / "protein" / "uniref90_10k.fasta.gz"
    with path.open("rb") as file:
        sequences = [it.sequence for it in read_sequences(file, path.name) if len(it.sequence) < 400][:1000]
    labels = split(sequences, tmp_path, method=method, test=80, validation=80, tool="kmer").values
    assert (np.sum(labels == 1), np.sum(labels == 2)) == (80, 80)
    fasta = tmp_path / "all.fasta"
    fasta.write_text("".join(f">{i}\n{sequence}\n" for i, sequence in enumerate(sequences)))
    words = ("-s", "7.5", "-e", "1e-3", "-a", "--threads", "1", "-v", "1", "--format-output", mmseqs.COLUMNS)
    found, work = tmp_path / "found.tsv", tmp_path / "work"
    subprocess.run(["mmseqs", "easy-search", fasta, fasta, found, work, *words], check=True)
    query, target, n_identical, n_columns, *lengths = np.loadtxt(found, np.int64).T
    is_similar = (n_identical >= 0.35 * n_columns) & (n_columns >= 0.5 * np.minimum(*lengths))
    is_between = (labels[query] != labels[target]) & (labels[query] != 3) & (labels[target] != 3)
    assert is_similar.sum() > len(sequences), "each finds itself, and some find others"
    assert not set(query[is_similar & is_between])


@needs_mmseqs
def test_a_pair_that_mmseqs_finds_with_its_correction_alone_is_found(real_data: Path, tmp_path: Path) -> None:
    """Two proteins of UniRef90, 21 of 69 residues alike by a search of its defaults."""
    path = real_data / "protein" / "uniref90_10k.fasta.gz"
    names = ("UniRef90_A0A7S3YGM6", "UniRef90_D0MX13")
    with path.open("rb") as file:
        sequences = {it.id: it.sequence for it in read_sequences(file, path.name) if it.id in names}
    similarity = Similarity(0.3, 0.5)
    pairs = mmseqs.find_pairs(
        (sequences[it] for it in names), None, 2, similarity, tmp_path, lambda *stage: None
    )
    assert {(0, 1), (1, 0)} & {
        pair for some in pairs for pair in zip(*map(np.ndarray.tolist, some), strict=True)
    }


@pytest.mark.slow
@needs_mmseqs
def test_on_real_proteins_each_tool_removes_what_the_other_finds(
    real_data: Path, reference: PairwiseAligner, tmp_path: Path
) -> None:
    """A few pairs near the limit are alike by the one program's alignment and not by the other's."""
    path = real_data / "protein" / "corpus_uniprot_genbank.fasta.gz"
    with path.open("rb") as file:
        every = [record.sequence for record in read_sequences(file, path.name)][::25]
    sequences = [s for s in every if len(s) < 600]
    by_tool = {tool: split(sequences, tmp_path, test=120, tool=tool).values for tool in ("kmer", "mmseqs")}
    held_out = np.flatnonzero(by_tool["kmer"] == 2)
    found = {tool: np.flatnonzero(labels == 3) for tool, labels in by_tool.items()}
    assert min(map(len, found.values())) > 30
    clear = {
        int(i)
        for i in np.union1d(*found.values())
        if any(is_similar(reference, sequences[i], sequences[j]) for j in held_out)
    }
    for tool, removed in found.items():
        missed = clear - set(removed.tolist())
        assert len(missed) <= 0.05 * len(clear), (tool, len(missed), len(clear))
