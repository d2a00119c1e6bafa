"""An estimate reads no more of the data than it needs, and takes the rest to be like it."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import biofm
from biofm.core import BiofmError
from biofm.training import PretrainRecipe
from biofm.training.estimating import TrainingEstimate

N_PROTEINS, LENGTH = 400, 60
WHOLE, PART = 1 << 24, 4000
RECIPE = PretrainRecipe(n_steps=3, tokens_per_batch=256, n_held_out=0)

Make = Callable[[Path], list[Path]]


@pytest.fixture(autouse=True)
def _short_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biofm.training.estimating.trial.SECONDS", 0.0)


def estimated(inputs: Any, recipe: PretrainRecipe = RECIPE, **options: Any) -> TrainingEstimate:
    return biofm.Pretrain(inputs, "run", recipe, device="cpu", **options).estimate()


def proteins() -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), LENGTH)) for _ in range(N_PROTEINS)]


def fasta(sequences: list[str]) -> bytes:
    return "".join(f">p{i}\n{sequence}\n" for i, sequence in enumerate(sequences)).encode()


def one_fasta(folder: Path) -> list[Path]:
    (folder / "in.fasta").write_bytes(fasta(proteins()))
    return [folder / "in.fasta"]


def two_files(folder: Path) -> list[Path]:
    first, second = proteins()[::2], proteins()[1::2]
    (folder / "a.fasta").write_bytes(fasta(first))
    (folder / "b.fasta").write_bytes(fasta(second))
    return [folder / "a.fasta", folder / "b.fasta"]


def compressed(folder: Path) -> list[Path]:
    (folder / "in.fasta.gz").write_bytes(gzip.compress(fasta(proteins())))
    return [folder / "in.fasta.gz"]


def wide_parquet(folder: Path) -> list[Path]:
    """Most of its bytes are of another column, which is not read."""
    noise = np.random.default_rng(1).bytes(2000 * N_PROTEINS)
    others = [noise[2000 * i : 2000 * (i + 1)] for i in range(N_PROTEINS)]
    table = pa.table({"sequence": proteins(), "picture": others})
    pq.write_table(table, folder / "in.parquet", row_group_size=50)
    return [folder / "in.parquet"]


def store(folder: Path) -> list[Path]:
    biofm.prepare(one_fasta(folder), folder / "store")
    return [folder / "store"]


@pytest.mark.parametrize(
    ("make", "sample"),
    [
        *((make, WHOLE) for make in (one_fasta, two_files, compressed, wide_parquet, store)),
        *((make, PART) for make in (one_fasta, two_files, wide_parquet, store)),
    ],
)
def test_the_training_set_has_as_many_tokens_as_it_has(
    make: Make, sample: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biofm.training.estimating.sample.SAMPLE_TOKENS", sample)
    monkeypatch.setattr("biofm.corpus.reading.BLOCK_RESIDUES", 2000)
    monkeypatch.setattr("biofm_datasets.formats._BUFFER_BYTES", 512)
    monkeypatch.setattr("biofm_datasets.text._BLOCK_BYTES", 512)
    paths = make(tmp_path)
    column = "sequence" if paths[0].suffix == ".parquet" else None
    found = estimated(paths, dtype="float32", column=column)
    exact = N_PROTEINS * (LENGTH + 2)
    is_whole = sample > exact or make is store
    assert found.n_train_tokens == pytest.approx(exact, rel=0 if is_whole else 0.15)  # files are read ahead
    assert ("data" in found.output_bytes) == (make is not store)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "in.fasta: there is no such file"),
        (b"", "in.fasta: "),
        (b">a\nMK7\n", "in.fasta, record 1 (a)"),
    ],
    ids=["missing", "empty", "faulty"],
)
def test_a_fault_of_a_file_is_one_line(content: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "in.fasta"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BiofmError) as caught:
        estimated(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_store_that_a_run_would_refuse_is_refused(tmp_path: Path) -> None:
    recipe = PretrainRecipe(n_steps=3, n_held_out=0, validate_every=1)
    with pytest.raises(BiofmError, match="--set validate_every: the data has no validation part"):
        estimated(store(tmp_path), recipe)


def test_a_single_protein_is_enough(tmp_path: Path) -> None:
    (tmp_path / "in.fasta").write_bytes(fasta(proteins()[:1]))
    found = estimated(tmp_path / "in.fasta", dtype="float32")
    assert found.n_tokens == 3 * (LENGTH + 2)
