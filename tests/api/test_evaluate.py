"""``biofm.evaluate`` from a table to its numbers."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from biofm_datasets import parse_variant
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.preprocessing import OneHotEncoder

import biofm
from biofm.core import InputError, OptionError
from biofm.evaluation import Evaluation, blosum62
from biofm.models import families
from tests.conftest import ReadLedger
from tests.modalities import toy

BLAT = Path("protein") / "esm" / "BLAT_ECOLX_Ranganathan2015_labeled.csv"
ESM1V = [f"esm1v_t33_650M_UR90_{number}" for number in range(1, 6)]
WILD_TYPE = "MKTAYIAKQRQISFVKSHFSRQ"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Single mutants whose fitness follows their site; one good score, one bad, some cells empty."""
    generator = np.random.default_rng(0)
    rows = []
    for position, wild in enumerate(WILD_TYPE, start=1):
        for mutant in "ACDEW":
            fitness = position / 4 + "ACDEW".index(mutant) / 5 + generator.normal() / 10
            good, bad = fitness + generator.normal(), generator.normal()
            rows.append((f"{wild}{position}{mutant}", fitness, good, bad))
    frame = pd.DataFrame(rows, columns=["mutant", "fitness", "good", "bad"])
    frame.loc[3, "fitness"] = np.nan
    frame.loc[[7, 8], "bad"] = np.nan
    frame["set"] = np.where(np.arange(len(frame)) % 3 == 0, "test", "train")
    frame["bin"] = (frame.fitness > 3).astype(int)
    frame["sequence"] = [
        WILD_TYPE[: int(m[1:-1]) - 1] + m[-1] + WILD_TYPE[int(m[1:-1]) :] for m in frame.mutant
    ]
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def frame_of(table: Path) -> pd.DataFrame:
    return pd.read_csv(table)


def judge(table: Path, **options: Any) -> Evaluation:
    """``biofm.evaluate`` of the good score, without intervals unless asked for."""
    usual: dict[str, Any] = {"measured_column": "fitness", "score_column": "good", "n_resamples": 0}
    return biofm.evaluate(table, **(usual | options))


def test_a_score_is_judged_on_the_rows_that_have_it_and_a_measurement(table: Path) -> None:
    found = judge(
        table, score_column=["good", "bad"], variant_column="mutant", n_resamples=50, mean_rank=True
    )
    frame = frame_of(table).dropna(subset=["fitness"])
    assert [row.name for row in found.rows] == ["good", "bad", "mean rank of 2", "BLOSUM62", "one-hot ridge"]
    assert [row.n for row in found.rows] == [109, 107, 107, 109, 109]
    for name in ("good", "bad"):
        expected = stats.spearmanr(frame.fitness, frame[name], nan_policy="omit").statistic
        assert found.row(name).spearman.value == pytest.approx(expected, abs=1e-12)
    both = frame.dropna(subset=["good", "bad"])
    mean = stats.spearmanr(both.fitness, stats.rankdata(both.good) + stats.rankdata(both.bad)).statistic
    assert found.row("mean rank of 2").spearman.value == pytest.approx(mean, abs=1e-12)
    unasked = judge(table, score_column=["good", "bad"], variant_column="mutant")
    assert [row.name for row in unasked.rows] == ["good", "bad", "BLOSUM62", "one-hot ridge"]
    assert found.notices == {
        "rows without a measurement in 'fitness', left out": 1,
        "rows without a score in 'bad', left out of its measures": 2,
    }


@pytest.mark.parametrize("has_wild_type", [True, False])
def test_variants_and_sequences_that_disagree_are_counted(has_wild_type: bool, tmp_path: Path) -> None:
    wild_type = "MKTAYIAKQR"
    rows = [("K2R", "MRTAYIAKQR"), ("K2G", "MATAYIAKQR"), ("T3A", "MKAAYIAKQR"), ("WT", wild_type)]
    text = "".join(f"{variant},{whole},{i},{i * i}\n" for i, (variant, whole) in enumerate(rows))
    (tmp_path / "assay.csv").write_text("mutant,mutated_sequence,fitness,score\n" + text)
    (tmp_path / "wt.fasta").write_text(f">wt\n{wild_type}\n")
    found = biofm.evaluate(
        tmp_path / "assay.csv", measured_column="fitness", score_column="score", variant_column="mutant",
        mutated_column="mutated_sequence", wild_type=tmp_path / "wt.fasta" if has_wild_type else None,
        n_resamples=0,
    )  # fmt: skip
    phrase = "rows whose variant and whose whole sequence disagree, in the residues or in their numbering"
    assert found.notices[phrase] == 1


def test_a_score_and_a_baseline_are_compared_on_the_rows_of_both(table: Path) -> None:
    found = judge(table, score_column=["good", "bad"], variant_column="mutant", n_resamples=50)
    compared = {(it.score, it.baseline): it for it in found.comparisons}
    assert compared["good", "BLOSUM62"].n == 109
    against_bad = compared["bad", "BLOSUM62"]
    frame = frame_of(table).dropna(subset=["fitness", "bad"])
    values = blosum62([parse_variant(variant) for variant in frame.mutant])
    assert against_bad.n == len(frame) == 107
    assert against_bad.baseline_spearman == pytest.approx(stats.spearmanr(frame.fitness, values).statistic)
    assert against_bad.score_spearman == found.row("bad").spearman.value
    assert against_bad.baseline_spearman != found.row("BLOSUM62").spearman.value
    ridge = compared["bad", "one-hot ridge"]
    assert ridge.difference.value == pytest.approx(ridge.score_spearman - ridge.baseline_spearman)
    assert ridge.difference.high is not None
    assert ridge.difference.high < -0.5


def test_resamples_are_paired_so_that_a_twin_differs_by_nothing(table: Path) -> None:
    """The interval of a difference is that of the same rows, not of two independent drawings."""
    frame = frame_of(table)
    frame["twin"] = blosum62([parse_variant(variant) for variant in frame.mutant])
    frame.to_csv(table, index=False)
    found = judge(table, score_column="twin", variant_column="mutant", n_resamples=20)
    difference = next(it for it in found.comparisons if it.baseline == "BLOSUM62").difference
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def test_the_interval_is_that_of_rows_drawn_one_resample_at_a_time(table: Path) -> None:
    found = judge(table, n_resamples=200, seed=4)
    frame = frame_of(table).dropna(subset=["fitness"])
    measured, score = frame.fitness.to_numpy(), frame.good.to_numpy()
    generator = np.random.default_rng(4)
    drawings = (generator.integers(len(score), size=len(score)) for _ in range(200))
    resampled = [stats.spearmanr(measured[rows], score[rows]).statistic for rows in drawings]
    low, high = np.quantile(resampled, [0.025, 0.975])
    spearman = found.row("good").spearman
    assert spearman.low == pytest.approx(low)
    assert spearman.high == pytest.approx(high)


def test_the_same_seed_gives_the_same_numbers(table: Path) -> None:
    def run(seed: int) -> Evaluation:
        return judge(table, variant_column="mutant", n_resamples=30, seed=seed)

    assert run(1) == run(1)
    assert run(1).row("good").spearman.low != run(2).row("good").spearman.low
    assert run(1).row("one-hot ridge").spearman.value != run(2).row("one-hot ridge").spearman.value


def test_what_is_positive_is_the_median_a_threshold_or_a_column(table: Path) -> None:
    frame = frame_of(table).dropna(subset=["fitness"])

    def auroc(is_positive: "pd.Series[bool]") -> float:
        statistic = stats.mannwhitneyu(frame.good[is_positive], frame.good[~is_positive]).statistic
        return float(statistic / (is_positive.sum() * (~is_positive).sum()))

    by_median = judge(table)
    assert by_median.threshold == pytest.approx(frame.fitness.median())
    assert "median" in by_median.positive
    assert by_median.row("good").auroc.value == pytest.approx(auroc(frame.fitness >= frame.fitness.median()))
    assert judge(table, threshold=2.0).row("good").auroc.value == pytest.approx(auroc(frame.fitness >= 2))
    by_column = judge(table, binary_column="bin")
    assert by_column.threshold is None
    assert by_column.n_positive == (frame.fitness > 3).sum()
    assert by_column.row("good").auroc.value == pytest.approx(auroc(frame.fitness > 3))
    assert by_column.row("good").auroc.low is None  # no resamples, no interval


def test_with_a_split_everything_is_judged_on_the_test_rows(table: Path) -> None:
    found = judge(table, variant_column="mutant", split_column="set")
    frame = frame_of(table).dropna(subset=["fitness"])
    test = frame[frame.set == "test"]
    assert (found.n_rows, found.n_train) == (len(test), len(frame) - len(test))
    assert {row.n for row in found.rows} == {len(test)}
    expected = stats.spearmanr(test.fitness, test.good).statistic
    assert found.row("good").spearman.value == pytest.approx(expected)
    assert found.threshold == pytest.approx(test.fitness.median())


def test_sequences_with_the_wild_type_tell_the_same_as_variants(table: Path, tmp_path: Path) -> None:
    fasta = tmp_path / "wt.fasta"
    fasta.write_text(f">wt\n{WILD_TYPE}\n")
    by_variant = judge(table, variant_column="mutant")
    assert judge(table, mutated_column="sequence", wild_type=fasta).rows == by_variant.rows
    assert judge(table, variant_column="mutant", wild_type=fasta).rows == by_variant.rows
    alone = judge(table, mutated_column="sequence")
    assert "--wild-type" in alone.not_computed["BLOSUM62"]
    assert alone.row("one-hot ridge") == by_variant.row("one-hot ridge")


def test_insertions_and_deletions_are_scored_by_kmers_where_the_wild_type_is_given(tmp_path: Path) -> None:
    variants = [f"{wild}{i}del" for i, wild in enumerate(WILD_TYPE, start=1)] + ["M1V", "K2_T3insGG"]
    frame = pd.DataFrame({"mutant": variants, "fitness": range(len(variants)), "s": range(len(variants))})
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "wt.fasta").write_text(f">wt\n{WILD_TYPE}\n")
    choice = {"score_column": "s", "variant_column": "mutant"}
    assert "--wild-type" in judge(tmp_path / "t.csv", **choice).not_computed["one-hot ridge"]
    found = judge(tmp_path / "t.csv", wild_type=tmp_path / "wt.fasta", **choice)
    assert [row.name for row in found.rows] == ["s", "k-mer ridge"]


def test_the_result_is_written_as_json_and_says_where_it_comes_from(
    table: Path, tmp_path: Path, read_ledger: ReadLedger
) -> None:
    found = judge(table, n_resamples=10, output=tmp_path / "result.json")
    written = json.loads((tmp_path / "result.json").read_text())
    assert written["sha256"] == hashlib.sha256(table.read_bytes()).hexdigest() == found.sha256
    assert written["version"] == biofm.__version__
    assert (written["seed"], written["n_resamples"]) == (0, 10)
    assert written["rows"][0]["spearman"]["low"] == found.row("good").spearman.low
    ((verb, reads),) = read_ledger("select verb, reads from requests")
    assert verb == "evaluate"
    assert str(table) in reads


def test_faulty_rows_are_skipped_and_counted_only_when_asked(table: Path) -> None:
    text = table.read_text().replace("K2A", "K2?").replace("T3C,", "T3C,oops")
    table.write_text(text)
    with pytest.raises(InputError, match=r"table\.csv, line \d+"):
        judge(table, variant_column="mutant")
    found = judge(table, variant_column="mutant", on_error="skip")
    assert found.notices["rows at fault, left out"] == 2
    assert found.n_rows == 107


def test_scores_without_a_common_row_have_no_mean(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("fitness,a,b\n1,1,\n2,3,\n3,2,\n4,,1\n5,,2\n6,,4\n")
    found = judge(table, score_column=["a", "b"], n_resamples=20, mean_rank=True)
    assert [(row.name, row.n) for row in found.rows] == [("a", 3), ("b", 3)]
    assert found.not_computed["mean rank of 2"] == "fewer than 3 rows have all the scores"


def test_what_cannot_be_ranked_on_common_rows_is_not_compared(tmp_path: Path) -> None:
    """The score is the same on all the rows that BLOSUM62 scores."""
    variants = ["A1G,1,5", "C2D,2,5", "D3E,3,5", "A1del,4,6", "C2del,5,7", "D3del,6,8"]
    (tmp_path / "t.csv").write_text("\n".join(["mutant,fitness,s", *variants]) + "\n")
    output = tmp_path / "r.json"
    found = judge(
        tmp_path / "t.csv", score_column="s", variant_column="mutant", n_resamples=20, output=output
    )
    assert [row.name for row in found.rows] == ["s", "BLOSUM62"]
    assert found.comparisons == []
    assert "NaN" not in output.read_text()


def test_options_that_contradict_each_other_are_refused(table: Path) -> None:
    with pytest.raises(OptionError, match="--binary-column and --threshold"):
        judge(table, binary_column="bin", threshold=1.0)
    with pytest.raises(OptionError, match="named twice"):
        judge(table, score_column=["good", "good"])
    with pytest.raises(OptionError, match="-1 is too small"):
        judge(table, n_resamples=-1)


def test_the_autoencoder_of_blat_gives_its_known_spearman(real_data: Path) -> None:
    name = "mutation_effect_prediction_vae_ensemble"
    found = biofm.evaluate(real_data / BLAT, measured_column="2500", score_column=name, n_resamples=0)
    spearman = found.row(name).spearman.value
    assert spearman is not None
    assert round(spearman, 7) == 0.7755001
    assert found.row(name).n == 4788


def test_esm1v_on_blat_gives_the_known_numbers_and_loses_to_the_ridge(real_data: Path) -> None:
    """Rows without a prediction of the autoencoder stay: ESM-1v scores them all."""
    found = biofm.evaluate(
        real_data / BLAT, measured_column="2500", score_column=ESM1V, variant_column="mutant", n_resamples=0,
        mean_rank=True,
    )  # fmt: skip
    rounded = [round(row.spearman.value or 0, 4) for row in found.rows]
    assert rounded[:6] == [0.6619, 0.6632, 0.6449, 0.6865, 0.7064, 0.7030]
    assert {row.n for row in found.rows} == {4996}
    assert found.row("BLOSUM62").spearman.value == pytest.approx(0.268, abs=5e-4)
    ridge = found.row("one-hot ridge").spearman.value
    assert ridge == pytest.approx(0.761, abs=5e-4)


@pytest.fixture
def toy_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Strings of six pairs, of which two decide the fitness; the values behind the pairs decide nothing."""
    monkeypatch.setitem(families.FAMILIES, "toy", toy)  # type: ignore[arg-type]
    generator = np.random.default_rng(6)
    pairs = generator.integers(0, 5, (80, 6)) * 60 + 59  # far apart, so that all the codes count
    values = generator.integers(0, 10, pairs.shape)
    fitness = pairs[:, 1] / 60 - pairs[:, 4] / 90 + generator.normal(size=80) / 3
    texts = [
        "".join(f"{toy.PAIRS[pair]}{value}" for pair, value in zip(*row, strict=True))
        for row in zip(pairs, values, strict=True)
    ]
    frame = pd.DataFrame({"text": texts, "fitness": fitness, "good": generator.normal(size=80) + fitness})
    frame["set"] = np.where(np.arange(80) % 4 == 0, "test", "train")
    frame.to_csv(tmp_path / "toy.csv", index=False)
    return tmp_path / "toy.csv"


def test_a_table_of_another_modality_has_the_ridge_of_scikit_learn(toy_table: Path) -> None:
    found = judge(toy_table, mutated_column="text", split_column="set", modality="toy")
    frame = frame_of(toy_table)
    features = OneHotEncoder().fit_transform([*map(toy.units, frame.text)])
    is_train = (frame.set == "train").to_numpy()
    ridge = Ridge(alpha=1.0, tol=1e-12).fit(features[is_train], frame.fitness[is_train])
    measured, predicted = frame.fitness[~is_train], ridge.predict(features[~is_train])
    assert [row.name for row in found.rows] == ["good", "one-hot ridge"]
    row = found.row("one-hot ridge")
    assert row.n == 20
    assert row.fitted == "the 60 rows of the training set"
    expected = stats.spearmanr(measured, predicted).statistic
    assert row.spearman.value == pytest.approx(expected, abs=1e-12)
    assert expected > 0.8
    positive = measured >= measured.median()
    statistic = stats.mannwhitneyu(predicted[positive], predicted[~positive]).statistic
    assert row.auroc.value == pytest.approx(statistic / (positive.sum() * (~positive).sum()))
    assert found.not_computed == {"BLOSUM62": "it scores amino acids, and the table holds strings"}


def test_another_modality_is_judged_by_folds_or_by_kmers_too(toy_table: Path) -> None:
    by_folds = judge(toy_table, mutated_column="text", modality="toy")
    assert "5-fold" in by_folds.row("one-hot ridge").fitted
    frame = frame_of(toy_table)
    frame.loc[::2, "text"] += "aa0"
    frame.to_csv(toy_table, index=False)
    by_kmers = judge(toy_table, mutated_column="text", modality="toy")
    assert [row.name for row in by_kmers.rows] == ["good", "k-mer ridge"]
    assert by_kmers.not_computed["one-hot ridge"] == "the sequences are 6 to 7 pairs long; see k-mer ridge"
    alone = judge(toy_table, modality="toy")
    reason = "the strings are not known; name their column with --mutated-column"
    assert alone.not_computed["one-hot ridge"] == reason


def test_what_another_modality_cannot_have_is_refused(toy_table: Path) -> None:
    for option, name in (("variant_column", "--variant-column"), ("wild_type", "--wild-type")):
        with pytest.raises(OptionError, match=f"{name}: the table holds strings, and biofm cannot read"):
            judge(toy_table, modality="toy", **{option: "text"})
    with pytest.raises(InputError, match=r"toy\.csv, line 2: .*position 3 holds"):
        judge(toy_table, mutated_column="text")
    toy_table.write_text(toy_table.read_text() + "no pairs,1,2,test\n")
    with pytest.raises(InputError, match=r"line 82: these are no pairs with numbers"):
        judge(toy_table, mutated_column="text", modality="toy")
    found = judge(toy_table, mutated_column="text", modality="toy", on_error="skip")
    assert found.notices["rows at fault, left out"] == 1
