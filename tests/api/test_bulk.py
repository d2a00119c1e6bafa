"""Shards, merging and estimates in Python, each through the gate."""

import json
from pathlib import Path

import numpy as np
import pytest

import biofm
from biofm.api import Embed, Score
from biofm.core import InputError, OptionError
from biofm.inference.scoring import estimate as scoring_estimate
from tests.conftest import ReadLedger


def test_shards_are_embedded_merged_and_in_the_ledger(
    fasta: Path, tmp_path: Path, model: biofm.Model, read_ledger: ReadLedger
) -> None:
    output = tmp_path / "out.npz"
    shards = [biofm.embed(fasta, output, shard=shard, dtype="float32").output for shard in ("1/2", "2/2")]

    summary = biofm.merge(shards, output)

    assert (summary.n_shards, summary.n_sequences, summary.n_rows) == (2, 3, 3)
    with np.load(output) as file:
        ids, values = file["ids"].tolist(), file["embeddings"]
    expected = model.embed([("P69905", "MVLSPADKTNVKAAWGKVGAHAGEYGAEAL"), "MALWMRLLPLLALLALWGPDPAAA", "MKT"])
    assert ids == ["P69905", "P01308", "P69905"]
    np.testing.assert_allclose(values, expected.values, rtol=0, atol=1e-5)
    rows = read_ledger("SELECT verb, reads, writes FROM requests WHERE verb IN ('embed', 'merge')")
    assert [verb for verb, *_ in rows[:3]] == ["embed", "embed", "merge"]
    assert json.loads(rows[2][1]) == {"shards": shards}
    assert json.loads(rows[0][2])["work"]["kind"] == "journal"


def test_an_estimate_of_scoring_is_in_the_ledger_as_reading_alone(
    fasta: Path, read_ledger: ReadLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring_estimate, "SAMPLE_SECONDS", 0.01)
    estimated = Score(None, "out.csv", wild_type=fasta, all_singles=True).estimate()
    assert estimated.n_variants == 19 * 57
    assert read_ledger("SELECT verb, reads, writes FROM requests WHERE verb <> 'load'") == [
        ("estimate", f'{{"wild_type":["{fasta}"]}}', "{}")
    ]


def test_an_estimate_is_in_the_ledger_as_reading_alone(fasta: Path, read_ledger: ReadLedger) -> None:
    estimate = Embed(fasta, "out.npz", window=10).estimate()

    assert (estimate.n_sequences, estimate.n_unique, estimate.n_residues) == (3, 3, 57)
    assert estimate.notices["sequences embedded by overlapping windows of 10 residues"] == 2
    ((reads, writes),) = read_ledger("SELECT reads, writes FROM requests WHERE verb = 'estimate'")
    assert (json.loads(reads), json.loads(writes)) == ({"input": [str(fasta)]}, {})


def test_a_loaded_model_computes_identical_sequences_once(model: biofm.Model) -> None:
    embeddings = model.embed(["MKTAYIAKQR", "MKV", "MKTAYIAKQR"] * 5)

    np.testing.assert_array_equal(embeddings.values, np.tile(embeddings.values[:3], (5, 1)))
    np.testing.assert_array_equal(embeddings.values[0], embeddings.values[2])


def test_faults_of_options_are_named(fasta: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="3/2 is not a shard"):
        biofm.embed(fasta, tmp_path / "out.npz", shard="3/2")
    with pytest.raises(InputError, match="no shards were given"):
        biofm.merge([], tmp_path / "out.npz")
