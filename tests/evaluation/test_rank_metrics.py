"""The measures against scipy and against their definitions, written out here row by row."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from biofm.evaluation.rank_metrics import METRICS, Drawn, Ranking, Sample

Floats = NDArray[np.float64]


def measure(
    measured: Floats, score: Floats, is_positive: NDArray[np.bool_], counts: Floats | None = None
) -> dict[str, float]:
    """Every measure of one resample; without counts, of the rows themselves."""
    counts = np.ones((1, len(score))) if counts is None else counts[None]
    drawn_measured, drawn_score = (Drawn(Ranking(values), counts) for values in (measured, score))
    sample = Sample(counts, drawn_measured, drawn_score, is_positive)
    return {name: float(metric(sample)[0]) for name, metric in METRICS.items()}


def assay(n_rows: int, *, n_decimals: int, seed: int = 0) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Measurements and a score that follows them loosely; few decimals make ties."""
    generator = np.random.default_rng(seed)
    measured = generator.normal(size=n_rows)
    score = (measured + generator.normal(size=n_rows)).round(n_decimals)
    measured = measured.round(n_decimals)
    return measured, score, measured >= np.median(measured)


def auroc_by_pairs(score: Floats, is_positive: NDArray[np.bool_]) -> float:
    differences = score[is_positive][:, None] - score[~is_positive][None, :]
    return float(((differences > 0) + 0.5 * (differences == 0)).mean())


def ndcg_by_rows(measured: Floats, score: Floats) -> float:
    """ProteinGym's definition for scores without ties."""
    n_top = math.floor(len(score) * 0.1)
    gains = (measured - measured.min()) / (measured.max() - measured.min())
    found = sum(gains[row] / math.log2(place + 2) for place, row in enumerate(np.argsort(-score)[:n_top]))
    best = sum(gain / math.log2(place + 2) for place, gain in enumerate(np.sort(gains)[::-1][:n_top]))
    return float(found / best)


def mcc_by_rows(score: Floats, is_positive: NDArray[np.bool_]) -> float:
    predicted = score >= np.median(score)
    return float(np.corrcoef(predicted, is_positive)[0, 1])


@pytest.mark.parametrize("n_rows", [11, 12, 400])
@pytest.mark.parametrize("n_decimals", [0, 1, 15])
def test_measures_agree_with_their_definitions(n_rows: int, n_decimals: int) -> None:
    measured, score, is_positive = assay(n_rows, n_decimals=n_decimals)
    found = measure(measured, score, is_positive)
    assert found["spearman"] == pytest.approx(stats.spearmanr(measured, score).statistic, abs=1e-12)
    assert found["auroc"] == pytest.approx(auroc_by_pairs(score, is_positive), abs=1e-12)
    n_pairs = is_positive.sum() * (~is_positive).sum()
    statistic = stats.mannwhitneyu(score[is_positive], score[~is_positive]).statistic
    assert found["auroc"] == pytest.approx(statistic / n_pairs, abs=1e-12)
    assert found["mcc"] == pytest.approx(mcc_by_rows(score, is_positive), abs=1e-12)


@pytest.mark.parametrize("n_rows", [10, 19, 20, 99, 1000])
def test_ndcg_is_proteingyms_where_no_scores_tie(n_rows: int) -> None:
    measured, score, is_positive = assay(n_rows, n_decimals=15)
    found = measure(measured, score, is_positive)["ndcg"]
    assert found == pytest.approx(ndcg_by_rows(measured, score), abs=1e-12)


def test_tied_scores_give_the_mean_ndcg_over_all_their_orders() -> None:
    measured, score, is_positive = assay(60, n_decimals=0, seed=3)
    generator = np.random.default_rng(0)
    orders = [ndcg_by_rows(measured, score + generator.uniform(0, 1e-6, 60)) for _ in range(4000)]
    standard_error = float(np.std(orders)) / math.sqrt(len(orders))
    assert standard_error > 0
    assert measure(measured, score, is_positive)["ndcg"] == pytest.approx(
        np.mean(orders), abs=4 * standard_error
    )


@pytest.mark.parametrize("n_decimals", [0, 15])
def test_measures_do_not_depend_on_the_order_of_the_rows(n_decimals: int) -> None:
    measured, score, is_positive = assay(200, n_decimals=n_decimals)
    order = np.random.default_rng(1).permutation(200)
    shuffled = measure(measured[order], score[order], is_positive[order])
    assert shuffled == pytest.approx(measure(measured, score, is_positive), abs=1e-12)


@pytest.mark.parametrize("n_decimals", [1, 15])
@pytest.mark.parametrize("seed", range(5))
def test_counts_are_the_same_as_rows_written_out(n_decimals: int, seed: int) -> None:
    """The claim on which the bootstrap rests: counted ranks are the ranks of the rows drawn."""
    measured, score, is_positive = assay(150, n_decimals=n_decimals)
    rows = np.random.default_rng(seed).integers(150, size=150)
    counts = np.bincount(rows, minlength=150).astype(float)
    written_out = measure(measured[rows], score[rows], is_positive[rows])
    assert measure(measured, score, is_positive, counts) == pytest.approx(written_out, abs=1e-12)
    assert written_out["spearman"] == pytest.approx(
        stats.spearmanr(measured[rows], score[rows]).statistic, abs=1e-12
    )


def test_perfect_reversed_and_constant_scores_have_known_values() -> None:
    measured = np.arange(40.0)
    is_positive = measured >= 20
    assert measure(measured, measured * 3 - 1, is_positive) == pytest.approx(
        {"spearman": 1, "auroc": 1, "ndcg": 1, "mcc": 1}
    )
    reversed_ = measure(measured, -measured, is_positive)
    assert (reversed_["spearman"], reversed_["auroc"], reversed_["mcc"]) == pytest.approx((-1, 0, -1))
    constant = measure(measured, np.zeros(40), is_positive)
    assert math.isnan(constant["spearman"])
    assert (constant["auroc"], constant["mcc"]) == (0.5, 0)


def test_what_is_not_defined_is_nan() -> None:
    few, none = np.arange(9.0), np.zeros(9, np.bool_)
    found = measure(few, few, none)
    assert math.isnan(found["auroc"])  # no positive row
    assert math.isnan(found["ndcg"])  # a tenth of nine rows is none
    assert found["mcc"] == 0
    assert math.isnan(measure(np.ones(20), np.arange(20.0), np.arange(20) > 9)["ndcg"])


def test_ndcg_does_not_suffer_from_large_offsets() -> None:
    measured, score, is_positive = assay(300, n_decimals=15)
    shifted = measure(measured * 1e-3 + 1e6, score - 1e6, is_positive)
    assert shifted["ndcg"] == pytest.approx(measure(measured, score, is_positive)["ndcg"], abs=1e-6)
