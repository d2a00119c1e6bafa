"""``biofm perplexity`` from file to file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import biofm as package

PROTEINS = [("a", "MKTAYIAKQR"), ("b", "MVLSPXDKT"), ("a", "GG"), ("x", "XX"), ("c", "MKTAYIAKQR")]
FASTA = "".join(f">{id_}\n{sequence}\n" for id_, sequence in PROTEINS)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize(
    ("method", "name"), [("pseudo", "pseudo_perplexity"), ("single-pass", "single_pass_perplexity")]
)
def test_every_format_holds_the_perplexities_of_the_python_twin_in_order(
    suffix: str, method: str, name: str, biofm: Any, tiny_esm2: Path
) -> None:
    Path("p.fasta").write_text(FASTA)
    words = ("-o", f"out{suffix}", "-m", tiny_esm2, "--method", method, "-q")
    outcome = biofm("perplexity", "p.fasta", *words)
    assert outcome.status == 0
    table = (
        pq.read_table(f"out{suffix}").to_pandas()
        if suffix == ".parquet"
        else pd.read_csv(f"out{suffix}", sep="," if suffix == ".csv" else "\t")
    )
    assert list(table.columns) == ["id", "record", "n_residues", "windowed", name]
    assert list(table["id"]) == ["a", "b", "a", "x", "c"]
    assert list(table["record"]) == [1, 2, 3, 4, 5]
    assert list(table["n_residues"]) == [10, 8, 2, 0, 10]
    twin = package.load(tiny_esm2, dtype="float32").perplexity(PROTEINS, method=method)  # type: ignore[arg-type]
    np.testing.assert_allclose(table[name].to_numpy(np.float32), twin, rtol=1e-5)
    assert np.isnan(twin[3])
    assert twin[0] == twin[4]
    assert "residues left out, because they stand for no single amino acid: 3" in outcome.err
    assert "sequences without an amino acid, so that their perplexity is nan: 1" in outcome.err


def test_the_summary_says_the_perplexity_of_all_residues(biofm: Any, tiny_esm2: Path) -> None:
    Path("p.fasta").write_text(FASTA)
    words = ("perplexity", "p.fasta", "-o", "out.csv", "-m", tiny_esm2, "-q")
    summary = json.loads(biofm(*words, "--json").out)
    table = pd.read_csv("out.csv").dropna()
    overall = np.exp(np.average(np.log(table["pseudo_perplexity"]), weights=table["n_residues"]))
    assert summary["perplexity"] == pytest.approx(overall, rel=1e-5)
    assert (summary["n_sequences"], summary["n_residues"]) == (5, 30)
    assert "pseudo perplexity of all residues" in biofm(*words, "--overwrite").err


def test_rows_say_which_records_they_are_where_others_are_left_out(biofm: Any, tiny_esm2: Path) -> None:
    Path("p.fasta").write_text(">a\nMKT\n>b\nM!T\n>c\nMKT\n")
    words = ("perplexity", "p.fasta", "-o", "out.csv", "-m", tiny_esm2, "-q", "--on-error", "skip")
    assert "records skipped: 1" in biofm(*words).err
    assert pd.read_csv("out.csv")["record"].tolist() == [1, 3]


def test_without_an_amino_acid_there_is_no_perplexity_and_the_json_stays_json(
    biofm: Any, tiny_esm2: Path
) -> None:
    Path("p.fasta").write_text(">x\nXX\n")
    words = ("perplexity", "p.fasta", "-o", "out.csv", "-m", tiny_esm2, "-q")
    assert json.loads(biofm(*words, "--json").out)["perplexity"] is None
    assert "perplexity of all residues" not in biofm(*words, "--overwrite").err


def test_long_proteins_are_read_in_windows_and_it_is_said(biofm: Any, tiny_esm2: Path) -> None:
    Path("p.fasta").write_text(f">long\n{'MKTAYIAKQR' * 110}\n>short\nMK\n")
    outcome = biofm("perplexity", "p.fasta", "-o", "o.csv", "-m", tiny_esm2, "--method", "single-pass", "-q")
    assert list(pd.read_csv("o.csv")["windowed"]) == [True, False]
    assert "sequences longer than the model's training, read in windows: 1" in outcome.err


WRONG = {
    "a missing file": ("p.fasta", None, (), ["p.fasta", "no such file"]),
    "a digit": ("p.fasta", ">a\nMK7\n", (), ["p.fasta", "record 1 (a)", "position 3"]),
    "a table without --column": ("p.csv", "s\nMK\n", (), ["p.csv", "--column"]),
    "no such model": ("p.fasta", FASTA, ("-m", "esm9"), ["esm9", "no such model"]),
    "a tiny batch": ("p.fasta", FASTA, ("--tokens-per-batch", "1"), ["--tokens-per-batch", "at least 2"]),
    "a wrong suffix": ("p.fasta", FASTA, ("-o", "out.npz"), ["out.npz", ".parquet"]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_input_gives_one_clear_line_and_no_file(wrong: str, biofm: Any, tmp_path: Path) -> None:
    name, content, words, message = WRONG[wrong]
    if content is not None:
        Path(name).write_text(content)
    before = sorted(tmp_path.iterdir())
    biofm("perplexity", name, "-o", "out.csv", "--quiet", *words).check_refusal(message)
    assert sorted(tmp_path.iterdir()) == before, "something was left behind"
