"""``biofm.prepare`` from Python: what a store holds, compared with the files that it was made of."""

from pathlib import Path

import numpy as np
import pytest
from biofm_datasets import read_sequences
from biofm_datasets.ids import REPEATED_IDS
from biofm_datasets.protein import Gaps
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import open_store

import biofm
from biofm.modalities import ProteinTokenizer


def test_a_store_of_real_proteins_holds_their_tokens_and_names(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "protein" / "uniref90_10k.fasta.gz"
    summary = biofm.prepare(path, tmp_path / "store", split="random", validation=500, test=0.1)
    store, tokenizer = open_store(tmp_path / "store", verify=True), ProteinTokenizer()
    with path.open("rb") as file:
        records = list(read_sequences(file, path.name))
    assert summary.n_sequences == len(store) == 10_000
    assert summary.n_residues == sum(len(record.sequence) for record in records) == 3_353_645
    assert list(store.ids) == [record.id for record in records]
    for i in range(0, 10_000, 97):
        assert store.tokens[i].tolist() == tokenizer.encode(records[i].sequence).tolist()
    assert store.record.alphabet.tokens == tokenizer.vocabulary
    assert summary.split.counts == {"train": 8500, "validation": 500, "test": 1000, "removed": 0}
    assert summary.sources[0].sha256 == "bb5e76d1b38d0259ad8b32711300ff2b07bd8291c2585a76959be933b95c8e24"


def test_a_store_is_ready_for_a_mixture(tmp_path: Path) -> None:
    for name, n in (("a", 30), ("b", 10)):
        proteins = (f">{i}\n{'MKTAYI' + 'A' * i}\n" for i in range(n))
        (tmp_path / f"{name}.fasta").write_text("".join(proteins))
    inputs = [tmp_path / "a.fasta", tmp_path / "b.fasta"]
    biofm.prepare(inputs, tmp_path / "store", weights=[1, 3])
    store = open_store(tmp_path / "store")
    mixture = Mixture(store.pools("train"), store.weights, seed=0)
    drawn = mixture.draw(0, 40)
    assert np.sum(drawn >= 30) == 30
    assert mixture.shares == (0.25, 0.75)


def test_the_order_of_a_file_does_not_change_who_is_held_out(tmp_path: Path) -> None:
    proteins = [f"MKTAYI{'L' * i}" for i in range(100)]
    held_out = []
    for name, order in (("one", proteins), ("other", proteins[::-1])):
        (tmp_path / f"{name}.fasta").write_text("".join(f">{p}\n{p}\n" for p in order))
        biofm.prepare(tmp_path / f"{name}.fasta", tmp_path / name, split="random", test=0.2, seed=5)
        store = open_store(tmp_path / name)
        held_out.append({store.ids[i] for i in store.split["test"].tolist()})
    assert held_out[0] == held_out[1]


def test_a_store_says_what_became_of_gaps_and_is_not_resumed_otherwise(tmp_path: Path) -> None:
    alignment = tmp_path / "family.a3m"
    alignment.write_text(">a\nMK-Ta\n>a\n--VLS\n")
    expected: tuple[tuple[Gaps, int], ...] = (("drop", 7), ("keep", 10))
    for gaps, n_residues in expected:
        summary = biofm.prepare(alignment, tmp_path / gaps, gaps=gaps)
        store = open_store(tmp_path / gaps)
        assert (store.record.gaps, summary.n_residues) == (gaps, n_residues)
        assert summary.notices[REPEATED_IDS] == 1
    with pytest.raises(biofm.BiofmError, match=r"record 1 \(a\): position 3 holds '-'"):
        biofm.prepare(alignment, tmp_path / "refuse", gaps="refuse")
    with pytest.raises(biofm.BiofmError, match="handled when it was prepared"):
        biofm.describe(tmp_path / "drop", gaps="keep")


def test_faults_are_of_the_kind_that_they_are(tmp_path: Path) -> None:
    (tmp_path / "p.fasta").write_text(">a\nMKT\n>b\nMKV\n")
    with pytest.raises(biofm.BiofmError, match="no inputs"):
        biofm.prepare([], tmp_path / "store")
    with pytest.raises(biofm.BiofmError, match="--on-error: no such choice: ignore"):
        biofm.prepare(tmp_path / "p.fasta", tmp_path / "store", on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(biofm.BiofmError, match="--split: no such choice"):
        biofm.prepare(tmp_path / "p.fasta", tmp_path / "store", split="scaffold")  # type: ignore[arg-type]
