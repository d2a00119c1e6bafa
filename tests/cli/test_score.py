"""``biofm score`` from file to file, and every wrong input with its message."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import biofm as package

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"
FASTA = f">a a protein\n{PROTEIN}\n"
VARIANTS = ["K2R", "A4G:Y5W", "WT", "A4del"]
CSV = "mutant,DMS_score\n" + "".join(f"{variant},{i}.50\n" for i, variant in enumerate(VARIANTS))


@pytest.fixture(autouse=True)
def files(biofm: Any) -> None:
    Path("wt.fasta").write_text(FASTA)
    Path("v.csv").write_text(CSV)


@pytest.fixture(scope="module")
def twin(tiny_esm2: Path) -> Any:
    return package.load(tiny_esm2, dtype="float32").score(PROTEIN, VARIANTS)


def run(biofm: Any, tiny_esm2: Path, *words: str | Path) -> Any:
    return biofm("score", *words, "--model", tiny_esm2, "--quiet")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("source", ["v.csv", "v.tsv", "v.parquet"])
def test_every_format_holds_the_scores_of_the_python_twin_in_order(
    source: str, suffix: str, biofm: Any, tiny_esm2: Path, twin: Any
) -> None:
    if source == "v.tsv":
        Path(source).write_text(CSV.replace(",", "\t"))
    if source == "v.parquet":
        scores = [float(f"{i}.5") for i in range(len(VARIANTS))]
        pq.write_table(pa.table({"mutant": VARIANTS, "DMS_score": scores}), source)
    outcome = run(biofm, tiny_esm2, source, "-w", "wt.fasta", "-o", f"out{suffix}")
    assert (outcome.status, outcome.out) == (0, "")
    table = (
        pq.read_table(f"out{suffix}").to_pandas()
        if suffix == ".parquet"
        else pd.read_csv(f"out{suffix}", sep="," if suffix == ".csv" else "\t")
    )
    names = ["mutant", "DMS_score", "method", "windowed", "score_tiny-esm2", "score"]
    assert list(table.columns) == names
    assert list(table["mutant"]) == VARIANTS
    assert list(table["DMS_score"].astype(float)) == [0.5, 1.5, 2.5, 3.5]
    assert list(table["method"]) == ["masked-marginals"] * 3 + ["pseudo-perplexity"]
    np.testing.assert_allclose(table["score"].to_numpy(np.float32), twin, atol=1e-6)
    assert table["score"].iloc[2] == 0


def test_variants_come_through_standard_input_where_their_format_is_said(
    biofm: Any, tiny_esm2: Path, twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path("v.csv").open("rb") as pipe:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
        outcome = run(biofm, tiny_esm2, "-", "--format", "csv", "-w", "wt.fasta", "-o", "out.csv")
    assert outcome.status == 0, outcome.err
    np.testing.assert_allclose(pd.read_csv("out.csv")["score"].to_numpy(np.float32), twin, atol=1e-6)


def test_how_the_scores_were_made_stands_beside_them(biofm: Any, tiny_esm2: Path) -> None:
    run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.csv")
    run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.parquet")
    beside = json.loads(Path("out.csv.provenance.json").read_text())["biofm"]
    inside = json.loads(pq.read_table("out.parquet").schema.metadata[b"biofm"])
    assert beside == inside
    assert (beside["method"], beside["offset"], beside["dtype"]) == ("masked-marginals", 0, "float32")
    assert [(m["model"], len(m["sha256"]), m["window_residues"]) for m in beside["models"]] == [
        (str(tiny_esm2), 64, 1022)
    ]
    assert beside["version"] == package.__version__


def test_several_models_have_a_column_each_and_their_mean(biofm: Any, tiny_esm2: Path) -> None:
    words = ("v.csv", "-w", "wt.fasta", "-o", "out.csv", "-m", "protein-nano")
    assert run(biofm, tiny_esm2, *words).status == 0
    table = pd.read_csv("out.csv")
    each = table[["score_protein-nano", "score_tiny-esm2"]]
    np.testing.assert_allclose(table["score"], each.mean(axis=1), atol=1e-6)
    assert not np.allclose(each["score_protein-nano"], each["score_tiny-esm2"])


def test_the_summary_can_be_had_as_json(biofm: Any, tiny_esm2: Path) -> None:
    outcome = run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.csv", "--json")
    summary = json.loads(outcome.out)
    assert summary["n_variants"] == 4
    assert summary["notices"] == {"variants with insertions or deletions, scored by pseudo-perplexity": 1}
    assert "notice: variants with insertions or deletions, scored by pseudo-perplexity: 1" in outcome.err


def test_a_scan_scores_every_substitution_and_draws_it(biofm: Any, tiny_esm2: Path) -> None:
    words = ("--all-singles", "-w", "wt.fasta", "-o", "scan.csv", "--picture", "scan.svg", "--offset", "23")
    outcome = run(biofm, tiny_esm2, *words)
    assert outcome.status == 0
    assert "Wrote the picture to scan.svg." in outcome.err
    table = pd.read_csv("scan.csv")
    assert len(table) == 19 * len(PROTEIN)
    first = table.iloc[0]
    assert (first["protein"], first["record"], first["position"], first["variant"]) == ("a", 1, 24, "M24A")
    twin = package.load(tiny_esm2, dtype="float32").score(PROTEIN, list(table["variant"]), offset=23)
    np.testing.assert_allclose(table["score"], twin, atol=1e-6)
    assert "a: tiny-esm2" in Path("scan.svg").read_text()


def test_a_scan_can_be_scored_again(biofm: Any, tiny_esm2: Path) -> None:
    run(biofm, tiny_esm2, "--all-singles", "-w", "wt.fasta", "-o", "scan.csv")
    outcome = run(biofm, tiny_esm2, "scan.csv", "-w", "wt.fasta", "-o", "again.csv")
    assert "columns renamed" in outcome.err
    again = pd.read_csv("again.csv")
    np.testing.assert_allclose(again["score"], again["input_score"], atol=1e-6)


def test_a_column_that_takes_the_name_of_the_reasons_is_renamed_with_a_notice(
    biofm: Any, tiny_esm2: Path
) -> None:
    Path("v.csv").write_text('mutant,reason\nM1A,"of mine"\nM1*,too\n')
    outcome = run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.csv")
    assert "columns renamed" in outcome.err
    table = pd.read_csv("out.csv")
    assert list(table["input_reason"]) == ["of mine", "too"]
    assert list(table["reason"].notna()) == [False, True]


def test_an_end_of_a_line_in_a_cell_is_passed_on_as_it_is(biofm: Any, tiny_esm2: Path) -> None:
    notes = ["one\rtwo", "one\r\ntwo", "one\ntwo"]
    rows = "".join(f'M1A,"{note}"\r\n' for note in notes)
    Path("v.csv").write_bytes(f"mutant,note\r\n{rows}".encode())
    assert run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.parquet").status == 0
    assert list(pd.read_parquet("out.parquet")["note"]) == notes


def test_wild_types_may_stand_in_the_table(biofm: Any, tiny_esm2: Path, twin: Any) -> None:
    rows = "".join(f"{variant},{PROTEIN}\n" for variant in VARIANTS)
    Path("v.csv").write_text("hgvs,target\n" + rows)
    words = ("v.csv", "--sequence-column", "target", "--variant-column", "hgvs", "-o", "out.csv")
    assert run(biofm, tiny_esm2, *words).status == 0
    np.testing.assert_allclose(pd.read_csv("out.csv")["score"], twin, atol=1e-6)


def test_a_table_of_wild_types_is_joined_by_name(biofm: Any, tiny_esm2: Path, twin: Any) -> None:
    Path("wt.csv").write_text(f"gene,target\nx,MKVW\ny,{PROTEIN}\n")
    Path("v.csv").write_text("gene,mutant\n" + "".join(f"y,{variant}\n" for variant in VARIANTS))
    words = ("v.csv", "-w", "wt.csv", "--sequence-column", "target", "--protein-column", "gene")
    assert run(biofm, tiny_esm2, *words, "-o", "out.csv").status == 0
    np.testing.assert_allclose(pd.read_csv("out.csv")["score"], twin, atol=1e-6)


def test_long_proteins_are_read_in_windows_and_it_is_said(biofm: Any, tiny_esm2: Path) -> None:
    Path("wt.fasta").write_text(">long\n" + PROTEIN * 40 + "\n")
    Path("v.csv").write_text("mutant\nK2R\nA4G:Y5W\nWT\n")
    outcome = run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.csv", "--method", "wt-marginals",
                  "--on-error", "skip", "--tokens-per-batch", "5000")  # fmt: skip
    assert outcome.status == 0
    assert "notice: variants of proteins longer than a model's training, read in windows: 3" in outcome.err
    assert list(pd.read_csv("out.csv")["windowed"]) == [True] * 3


def test_unknown_residues_are_counted_once_a_protein_however_the_rows_are_mixed(
    biofm: Any, tiny_esm2: Path
) -> None:
    Path("wt.fasta").write_text(">a\nMKJ\n>b\nMKJJ\n>c\nMK\n")
    Path("v.csv").write_text("mutant,p\n" + "K2R,a\nK2R,b\nK2R,c\n" * 3)
    outcome = run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "--protein-column", "p", "-o", "out.csv")
    assert "notice: residues of wild types read as <unk>: 3" in outcome.err


def test_residues_that_the_model_does_not_know_are_counted(biofm: Any, tiny_esm2: Path) -> None:
    Path("wt.fasta").write_text(f">a\n{PROTEIN}JXJU\n")
    Path("v.csv").write_text("mutant\nK2R\nU37C\n")
    outcome = run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.csv")
    assert "notice: residues of wild types read as <unk>: 2" in outcome.err
    assert pd.read_csv("out.csv")["score"].notna().all()


STOPS = "mutant,DMS_score\nK2R,1\nK2*,-3\nA4G:Y5W,2\np.Lys8fs,-3\n,0\nA4del,3\n"
REASONS = {"K2*": "a stop codon", "p.Lys8fs": "a frameshift", "": "the variant is empty"}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_row_without_a_protein_stays_empty_with_its_reason(
    suffix: str, biofm: Any, tiny_esm2: Path, twin: Any
) -> None:
    Path("v.csv").write_text(STOPS)
    words = ("v.csv", "-w", "wt.fasta", "-o", f"out{suffix}")
    outcome = run(biofm, tiny_esm2, *words)
    assert outcome.status == 0
    assert "notice: rows of the input without a score; the column reason says why: 3" in outcome.err
    table = pd.read_csv("out.csv") if suffix == ".csv" else pd.read_parquet("out.parquet")
    assert list(table.columns)[2:] == ["method", "windowed", "score_tiny-esm2", "score", "reason"]
    assert list(table["score"].isna()) == [False, True, False, True, True, False]
    np.testing.assert_allclose(table["score"].dropna(), [twin[0], twin[1], twin[3]], atol=1e-6)
    for cell, reason in zip(table["mutant"].fillna(""), table["reason"], strict=True):
        assert REASONS[cell] in reason if cell in REASONS else pd.isna(reason)
    for name in ("method", "windowed"):
        assert list(table[name].isna()) == list(table["score"].isna())


def test_shards_of_which_one_has_all_empty_rows_give_the_table_of_one_run(
    biofm: Any, tiny_esm2: Path
) -> None:
    """A shard of which no row is empty says the same as one that has some."""
    Path("v.csv").write_text(STOPS)
    run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "whole.csv")
    for index in (1, 2, 3):
        words = ("v.csv", "-w", "wt.fasta", "-o", "out.csv", "--shard", f"{index}/3")
        assert run(biofm, tiny_esm2, *words).status == 0
    assert biofm("merge", *Path().glob("out.csv.shard-*"), "-o", "out.csv", "--quiet").status == 0
    pd.testing.assert_frame_equal(pd.read_csv("out.csv"), pd.read_csv("whole.csv"), rtol=1e-5)


def test_a_fault_stays_one_until_it_may_be_left_empty(biofm: Any, tiny_esm2: Path) -> None:
    Path("v.csv").write_text("mutant\nK2R\nA3G\n")
    outcome = run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.csv")
    assert (outcome.status, "v.csv, line 3 (A3G)" in outcome.err) == (1, True)
    words = ("v.csv", "-w", "wt.fasta", "-o", "out.csv", "--on-error", "skip")
    assert run(biofm, tiny_esm2, *words).status == 0
    table = pd.read_csv("out.csv")
    assert table["reason"].iloc[1] == "the variant has A at position 3, where the protein has T"


def test_a_table_with_stops_is_scored_and_then_evaluated(biofm: Any, tiny_esm2: Path) -> None:
    rows = [f"{residue}{i}A,{i % 5}" for i, residue in enumerate(PROTEIN, 1) if residue != "A"]
    Path("v.csv").write_text("\n".join(["mutant,DMS_score", *rows, "K2*,-3", ""]))
    assert run(biofm, tiny_esm2, "v.csv", "-w", "wt.fasta", "-o", "out.csv").status == 0
    outcome = biofm(
        "evaluate", "out.csv", "--measured-column", "DMS_score", "--score-column", "score",
        "--variant-column", "mutant", "--json",
    )  # fmt: skip
    assert outcome.status == 0, outcome.err
    notice = "rows without a protein to judge (a stop codon, a frameshift, an empty variant), left out"
    assert json.loads(outcome.out)["notices"] == {notice: 1}


WRONG: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "nothing to score": (("-w", "wt.fasta"), ["nothing to score. Give a table of variants, or "]),
    "both": (("v.csv", "-w", "wt.fasta", "--all-singles"), ["--all-singles", "either a table"]),
    "no wild type": (("v.csv",), ["--wild-type", "no wild type"]),
    "two wild types": (("v.csv", "-w", "wt.fasta", "--sequence-column", "s"), ["--sequence-column", "both"]),
    "a table of wild types": (("v.csv", "-w", "two.csv"), ["two.csv", "a table", "--sequence-column"]),
    "names for a column": (
        ("v.csv", "--sequence-column", "mutant", "--protein-column", "p"), ["--protein-column", "no use here"]
    ),
    "names of a scan": (
        ("--all-singles", "-w", "wt.fasta", "--protein-column", "p"), ["--protein-column", "no use here"]
    ),
    "variants of a scan": (
        ("--all-singles", "-w", "wt.fasta", "--variant-column", "v"), ["--variant-column", "no table of"]
    ),
    "one file": (("v.csv", "-w", "v.csv", "--sequence-column", "mutant"), ["v.csv", "the same file"]),
    "a picture of a table": (("v.csv", "-w", "wt.fasta", "--picture", "a.svg"), ["--picture", "only the"]),
    "a picture of two": (("--all-singles", "-w", "two.fasta", "--picture", "a.svg"), ["(b)", "one protein"]),
    "a picture of no kind": (("--all-singles", "-w", "wt.fasta", "--picture", "a.gif"), ["a.gif", ".svg"]),
    "several wild types": (("v.csv", "-w", "two.fasta"), ["two.fasta", "2 wild types", "--protein-column"]),
    "no such protein column": (("v.csv", "-w", "two.fasta", "--protein-column", "p"), ["v.csv", "'p'"]),
    "a missing file": (("w.csv", "-w", "wt.fasta"), ["w.csv", "no such file"]),
    "a FASTA of variants": (("two.fasta", "-w", "wt.fasta"), ["two.fasta", "FASTA", "table"]),
    "another numbering": (("far.csv", "-w", "wt.fasta"), ["far.csv, line 2 (K102R)", "--offset 100 "]),
    "stop codons alone": (("stop.csv", "-w", "wt.fasta"), ["stop.csv: no row can be scored", "stop codon"]),
    "a model twice": (("v.csv", "-w", "wt.fasta", "-m", "a", "-m", "a"), ["--model", "twice"]),
    "no such model": (("v.csv", "-w", "wt.fasta", "-m", "esm9"), ["esm9", "no such model"]),
    "a tiny batch": (("v.csv", "-w", "wt.fasta", "--tokens-per-batch", "1"), ["--tokens-per-batch"]),
    "a wrong device": (("v.csv", "-w", "wt.fasta", "--device", "abacus"), ["--device", "abacus"]),
    "only unscanned residues": (("--all-singles", "-w", "x.fasta"), ["no standard residue"]),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_input_gives_one_clear_line_and_no_file(wrong: str, biofm: Any, tmp_path: Path) -> None:
    words, message = WRONG[wrong]
    Path("two.fasta").write_text(FASTA + ">b\nMKV\n")
    Path("two.csv").write_text("id,s\na,MK\n")
    Path("far.csv").write_text("mutant\nK102R\nA104G\n")
    Path("stop.csv").write_text("mutant\nK2*\n")
    Path("x.fasta").write_text(">x\nXX\n")
    before = sorted(tmp_path.iterdir())
    biofm("score", *words, "-o", "out.csv", "--quiet").check_refusal(message)
    assert sorted(tmp_path.iterdir()) == before, "something was left behind"


def test_a_table_must_be_named_as_one(biofm: Any) -> None:
    outcome = biofm("score", "v.csv", "-w", "wt.fasta", "-o", "out.h5ad")
    assert (outcome.status, "out.h5ad: .h5ad is not a table format" in outcome.err) == (1, True)


def test_an_existing_table_stays_without_overwrite(biofm: Any) -> None:
    Path("out.csv").write_text("precious")
    assert biofm("score", "v.csv", "-w", "wt.fasta", "-o", "out.csv").status == 1
    assert Path("out.csv").read_text() == "precious"


def test_a_model_without_a_head_cannot_score(biofm: Any, tiny_esm2: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path("headless")
    folder.mkdir()
    (folder / "config.json").write_bytes((tiny_esm2 / "config.json").read_bytes())
    state = load_file(tiny_esm2 / "model.safetensors")
    save_file({k: v for k, v in state.items() if "lm_head" not in k}, folder / "model.safetensors")
    outcome = biofm("score", "v.csv", "-w", "wt.fasta", "-o", "out.csv", "-m", folder)
    assert outcome.status == 1
    assert "no language-model head" in outcome.err
