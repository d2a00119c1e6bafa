"""Scores of real scans of mutations, and the Python side of scoring."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import biofm
from biofm.core import InputError, OptionError
from biofm.inference.scoring import METHODS

PROTEIN = "MKTAYIAKQRQISFVKSHFSRQ"


def test_a_model_scores_variants_in_order(
    model: biofm.Model, read_ledger: Callable[[str], list[Any]]
) -> None:
    scores = model.score(PROTEIN, ["K2R", "WT", "K2R:A4G", "A4G", "A4del"])
    assert scores.dtype == np.float32
    assert scores[1] == 0
    assert scores[2] == pytest.approx(scores[0] + scores[3], abs=1e-5)
    assert len(set(scores.tolist())) == 5
    outcomes = read_ledger(
        "SELECT verb, outcome FROM requests JOIN outcomes ON id = request WHERE verb = 'score'"
    )
    assert outcomes == [("score", "completed")]


def test_methods_differ_and_an_offset_only_renumbers(model: biofm.Model) -> None:
    scores = {m: model.score(PROTEIN, ["K2R"], method=m)[0] for m in METHODS}
    assert len(set(scores.values())) == 3
    assert model.score(PROTEIN, ["K25R"], offset=23)[0] == scores["masked-marginals"]


def test_a_model_that_embeds_in_bfloat16_scores_in_float32_unless_told_otherwise() -> None:
    exact, rounded = (biofm.load("protein-nano", device="cpu", dtype=d) for d in ("float32", "bfloat16"))
    scores = exact.score(PROTEIN, ["K2R", "A4G"])
    assert rounded.score(PROTEIN, ["K2R", "A4G"]).tolist() == scores.tolist()
    assert rounded.score(PROTEIN, ["K2R", "A4G"], dtype="bfloat16").tolist() != scores.tolist()
    assert rounded.perplexity([PROTEIN]) == exact.perplexity([PROTEIN])
    assert rounded.perplexity([PROTEIN], dtype="bfloat16") != exact.perplexity([PROTEIN])


def test_wrong_values_are_errors(model: biofm.Model) -> None:
    with pytest.raises(InputError, match=r"the given variants, number 2 \(K3R\)"):
        model.score(PROTEIN, ["K2R", "K3R"])
    with pytest.raises(OptionError, match="no such method: guess"):
        model.score(PROTEIN, ["K2R"], method="guess")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no such method: guess"):
        model.perplexity([PROTEIN], method="guess")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Put it into a list"):
        model.perplexity(PROTEIN)


def test_perplexity_is_lower_where_the_residues_are_shown(model: biofm.Model) -> None:
    (pseudo,) = model.perplexity([PROTEIN])
    (single_pass,) = model.perplexity([("a", PROTEIN)], method="single-pass")
    assert 1 < single_pass < pseudo
    assert model.perplexity([]).shape == (0,)


@pytest.mark.slow
def test_a_real_scan_is_scored_whole(real_data: Path, tmp_path: Path) -> None:
    """TEM-1 beta-lactamase: the variants of Deng et al. as fair-esm ships them, which begin at H24."""
    folder = real_data / "protein"
    with (folder / "proteingym" / "DMS_substitutions.csv").open(encoding="utf-8") as file:
        whole = next(r["target_seq"] for r in csv.DictReader(file) if r["UniProt_ID"] == "BLAT_ECOLX")
    variants = folder / "esm" / "BLAT_ECOLX_Ranganathan2015_labeled.csv"
    (tmp_path / "mature.fasta").write_text(f">mature\n{whole[23:]}\n")
    with pytest.raises(InputError, match=r"line 2 \(H24C\).*--offset 23 "):
        biofm.score(variants, tmp_path / "out.csv", wild_type=tmp_path / "mature.fasta")
    summary = biofm.score(variants, tmp_path / "out.csv", wild_type=tmp_path / "mature.fasta", offset=23)
    assert summary.n_variants == 4996
    table = pd.read_csv(tmp_path / "out.csv")
    assert np.isfinite(table["score"]).all()
    same = pd.read_csv(variants)
    assert len(table.columns) == len(same.columns) + 4
    pd.testing.assert_frame_equal(table[same.columns], same)


def test_the_wild_types_of_proteingym_are_read(real_data: Path, tmp_path: Path) -> None:
    """Every one of the 217, the longest of 3,423 residues, with the first residue as a synonymous variant."""
    with (real_data / "protein" / "proteingym" / "DMS_substitutions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    with (tmp_path / "v.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["DMS_id", "mutant"])
        writer.writerows([row["DMS_id"], f"{row['target_seq'][-1]}{len(row['target_seq'])}="] for row in rows)
    wild_types = real_data / "protein" / "proteingym" / "DMS_substitutions.csv"
    summary = biofm.score(
        tmp_path / "v.csv",
        tmp_path / "out.csv",
        wild_type=wild_types,
        sequence_column="target_seq",
        protein_column="DMS_id",
    )
    assert summary.n_variants == 217
    assert summary.n_tokens == 0
