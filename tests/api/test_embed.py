"""Embedding in Python and from file to file: the same numbers in every format, and how they were made."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from biofm_datasets.ids import REPEATED_IDS
from biofm_datasets.protein import GAPS

import biofm
from biofm.api import Embed
from biofm.api.loading import DEMONSTRATION
from biofm.core import InputError, OptionError
from biofm.core.outputs import SUFFIXES
from biofm.models import BUNDLED
from tests.api.conftest import PROTEINS
from tests.conftest import ReadLedger
from tests.embeddings import read_embeddings

OPTIONS: dict[str, Any] = {"pool": "max", "layer": 2, "window": 12}


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_holds_what_python_gets_and_how_it_was_made(
    suffix: str, model: biofm.Model, fasta: Path, tmp_path: Path
) -> None:
    summary = biofm.embed(fasta, tmp_path / f"out{suffix}", dtype="float32", **OPTIONS)
    ids, values, provenance = read_embeddings(tmp_path / f"out{suffix}")

    embeddings = model.embed(PROTEINS, **OPTIONS)

    assert ids == embeddings.ids == ["P69905", "P01308", "P69905"]
    np.testing.assert_array_equal(values, embeddings.values)
    assert provenance == {**summary.provenance, "labels": "U"}
    of_file = {"records_digest": provenance["records_digest"], "labels": "U"}
    assert provenance == {**embeddings.provenance, **of_file}
    weights = BUNDLED / "protein-nano" / "model.safetensors"
    expected = {
        "model": "protein-nano",
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "modality": "protein",
        "units": "residues",
        "dtype": "float32",
        "device": "cpu",
        "pooling": "max",
        "layer": 2,
        "window": 12,
        "gaps": "drop",
        "version": biofm.__version__,
    }
    assert {name: provenance[name] for name in expected} == expected


def test_the_summary_counts_what_was_done(fasta: Path, tmp_path: Path) -> None:
    summary = biofm.embed(fasta, tmp_path / "out.npz", pool="none", dtype="float32")

    assert (summary.n_sequences, summary.n_residues, summary.n_tokens) == (3, 57, 63)
    assert summary.n_rows == 57
    assert summary.output == str(tmp_path / "out.npz")
    assert summary.dtype_reason == "set by dtype or by the command's default"
    assert summary.notices == {
        "sequences upper-cased": 1,
        "sequences whose trailing * was dropped": 1,
        REPEATED_IDS: 1,
        DEMONSTRATION.format("protein-nano"): 1,
    }


def test_an_alignment_gives_the_embeddings_of_its_sequences_unless_gaps_are_to_be_kept(
    model: biofm.Model, tmp_path: Path
) -> None:
    (tmp_path / "family.a3m").write_text(">a\nMK-TAy..\n>b\n--VLS-P\n")
    found = {}
    for gaps in GAPS[:2]:
        output = tmp_path / f"{gaps}.npz"
        summary = biofm.embed(tmp_path / "family.a3m", output, gaps=gaps, dtype="float32")
        _, found[gaps], provenance = read_embeddings(output)
        assert provenance["gaps"] == gaps
        assert (summary.n_residues, sum("gaps" in text for text in summary.notices)) == (
            {"drop": 9, "keep": 15}[gaps],
            1,
        )
    np.testing.assert_allclose(found["drop"], model.embed(["MKTAY", "VLSP"]).values, atol=1e-5)
    kept = model.embed(["MK-TAY..", "--VLS-P"], gaps="keep")
    np.testing.assert_allclose(found["keep"], kept.values, atol=1e-5)
    assert kept.provenance["gaps"] == "keep"
    with pytest.raises(InputError, match="position 3 holds '-'"):
        model.embed(["MK-TAY"], gaps="refuse")


def test_a_table_in_memory_gives_what_its_file_gives(model: biofm.Model) -> None:
    frame = pd.DataFrame({"seq": ["MKTAY", "VLSP"]}, index=["a", "b"])
    found = model.embed(frame, column="seq")
    assert found.ids == ["a", "b"]
    np.testing.assert_array_equal(found.values, model.embed(["MKTAY", "VLSP"]).values)
    of_mapping = model.perplexity({"a": "MKTAY", "b": "VLSP"}, method="single-pass")
    assert of_mapping.tolist() == model.perplexity(frame, column="seq", method="single-pass").tolist()
    assert model.score("MKTAY", pd.Series(["K2R", "WT"], index=[7, 3]))[1] == 0


def estimate_embed(input: Path, **options: Any) -> object:
    return Embed(input, **options).estimate()


@pytest.mark.parametrize(
    ("verb", "options"),
    [
        (biofm.embed, {"output": "o.npz"}),
        (estimate_embed, {"output": "o.npz"}),
        (biofm.perplexity, {"output": "o.csv"}),
        (biofm.contacts, {"output": "o.csv", "model": "protein-nano"}),
        (biofm.predict, {"output": "o.csv", "predictor": "p"}),
        (biofm.score, {"output": "o.csv", "wild_type": "wt.fasta"}),
        (biofm.finetune, {"output": "o", "target": "y"}),
        (biofm.evaluate, {"measured_column": "y", "score_column": "s"}),
        (biofm.prepare, {"output": "o"}),
        (biofm.describe, {}),
        (biofm.neighbours, {}),
        (biofm.merge, {"output": "o.csv"}),
    ],
)
@pytest.mark.parametrize("value", [pd.DataFrame({"seq": ["MK"]}), {"a": "MK"}], ids=["table", "dictionary"])
def test_what_is_no_path_is_refused_where_a_file_belongs(verb: Any, options: Any, value: Any) -> None:
    with pytest.raises(InputError, match=r"this must be a path, not a value of the type (DataFrame|dict)"):
        verb(value, **options)


def test_what_an_array_cannot_tell_is_a_warning(model: biofm.Model) -> None:
    with pytest.warns(UserWarning, match=r"^sequences whose alignment gaps .* were dropped: 1$"):
        gapped = model.perplexity(["MK-TAY", "VLSP"], method="single-pass")
    np.testing.assert_array_equal(gapped, model.perplexity(["MKTAY", "VLSP"], method="single-pass"))
    with pytest.warns(UserWarning, match="^(records skipped: 1|Skipped: .* position 3 holds '7'.*)$") as told:
        found = model.perplexity(["MK7", "VLSP"], method="single-pass", on_error="skip")
    assert len(told) == 2
    assert np.isnan(found).tolist() == [True, False]
    with pytest.warns(UserWarning, match="^sequences upper-cased: 1$"):
        model.score("mktay", ["K2R"])


def test_a_layer_counted_backwards_is_recorded_by_its_number(
    model: biofm.Model, fasta: Path, tmp_path: Path
) -> None:
    summary = biofm.embed(fasta, tmp_path / "out.npz", layer=-2)
    assert summary.provenance["layer"] == model.info.n_layers - 1


def test_rows_of_residues_follow_each_other(model: biofm.Model) -> None:
    rows = model.embed(["MKTAY", "AYI"], pool="none")
    alone = model.embed(["AYI"], pool="none")

    assert (rows.n_residues, rows.values.shape) == ([5, 3], (8, model.info.d_model))
    np.testing.assert_allclose(rows.values[5:], alone.values, rtol=1e-4, atol=1e-5)


def test_no_sequences_give_no_rows(model: biofm.Model) -> None:
    assert model.embed([]).values.shape == (0, model.info.d_model)


def test_faults_in_python_values_stop_or_are_skipped(model: biofm.Model) -> None:
    with pytest.raises(InputError, match="the given sequences, record 2"):
        model.embed(["MKT", "M1"])
    skipped = model.embed(["MKT", "M1", "AYI"], on_error="skip")
    named = "Skipped: the given sequences, record 2 (2): position 2 holds '1', which no protein alphabet has."
    assert (skipped.ids, skipped.notices) == (["1", "3"], {"records skipped": 1, named: 1})


def test_one_string_is_refused_with_the_way_out(model: biofm.Model) -> None:
    with pytest.raises(InputError, match="Put it into a list"):
        model.embed("MKTAYIAK")


def test_embedding_again_and_in_another_precision_changes_nothing(model: biofm.Model) -> None:
    first = model.embed(["MKTAYIAKQR"])
    biofm.load("protein-nano", dtype="bfloat16").embed(["MKTAYIAKQR"])

    np.testing.assert_array_equal(model.embed(["MKTAYIAKQR"]).values, first.values)


def test_embedding_leaves_rows_of_load_and_embed_in_the_ledger(
    fasta: Path, tmp_path: Path, read_ledger: ReadLedger
) -> None:
    biofm.embed(fasta, tmp_path / "out.csv")

    rows = read_ledger(
        "SELECT verb, model, decision, outcome, reads, writes FROM requests JOIN outcomes ON id = request"
    )
    by_verb = {verb: (model, decision, outcome) for verb, model, decision, outcome, *_ in rows}
    assert by_verb == dict.fromkeys(["embed", "load"], ("protein-nano", "allow", "completed"))
    (embed,) = [row for row in rows if row[0] == "embed"]
    assert json.loads(embed[4]) == {"input": [str(fasta)]}
    written = {role: target["path"] for role, target in json.loads(embed[5]).items()}
    assert written == {
        "output": str(tmp_path / "out.csv"),
        "provenance": str(tmp_path / "out.csv.provenance.json"),
        "work": str(tmp_path / ".out.csv.run"),
    }


def test_a_failed_run_is_in_the_ledger_as_failed(
    fasta: Path, tmp_path: Path, read_ledger: ReadLedger
) -> None:
    with pytest.raises(OptionError):
        biofm.embed(fasta, tmp_path / "out.csv", layer=99)

    outcomes = read_ledger("SELECT verb, outcome, error FROM requests JOIN outcomes ON id = request")
    assert sorted(outcomes) == [("embed", "failed", "OptionError"), ("load", "completed", "")]


def test_a_loaded_model_passes_the_gate_at_every_verb(
    tmp_path: Path, model: biofm.Model, read_ledger: ReadLedger
) -> None:
    model.embed(["MKT"])
    model.save(tmp_path / "saved")

    assert read_ledger("SELECT verb, model FROM requests") == [
        ("embed", "protein-nano"),
        ("save", "protein-nano"),
    ]


MEASURE = """
import sys
import biofm
from pathlib import Path
from biofm.core.memory import peak_resident_bytes

n_records, folder = int(sys.argv[1]), Path(sys.argv[2])
with (folder / "in.fasta").open("w") as file:
    for number in range(n_records):
        residues = ''.join('ACDEFGHIKL'[int(digit)] for digit in f'{number:06}')
        file.write(f">p{number}\\n{residues}{'MKTAYIAKQR' * 29}\\n")
biofm.embed(folder / "in.fasta", folder / "out.h5ad", layer=0, tokens_per_batch=512, overwrite=True)
print(peak_resident_bytes() >> 10)
"""


@pytest.mark.slow
def test_memory_stays_flat_however_long_the_file_is(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def peak_mib(n_records: int) -> float:
        command = [sys.executable, "-c", MEASURE, str(n_records), str(tmp_path)]
        run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        return int(run.stdout) / 1024

    # 32,000 more proteins: 10 MB of text and 16 MB of rows, in Python objects at least twice that. Buffers
    # and the journal's cache are full by the first 32,000.
    assert peak_mib(64_000) - peak_mib(32_000) < 6
