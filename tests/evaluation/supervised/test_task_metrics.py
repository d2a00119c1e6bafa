"""Measures of predictions against scikit-learn and scipy, on resamples that are written out row by row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from biofm.evaluation.supervised import UNKNOWN, Labels, Predictions, judge_predictions, offsets_of, units_of
from biofm.evaluation.supervised.task_metrics import METRICS, measurement_of

N_ROWS = 60
N_RESAMPLES = 5


def drawn() -> np.ndarray:
    """Counts: the rows themselves, then some resamples."""
    rng = np.random.default_rng(3)
    counts = [np.bincount(rng.integers(N_ROWS, size=N_ROWS), minlength=N_ROWS) for _ in range(N_RESAMPLES)]
    return np.stack([np.ones(N_ROWS), *counts])


def written_out(counts: np.ndarray) -> np.ndarray:
    return np.repeat(np.arange(N_ROWS), counts.astype(int))


def regression() -> tuple[Labels, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(N_ROWS, 2))
    truth[rng.integers(N_ROWS, size=9), 0] = np.nan
    predicted = (0.7 * np.nan_to_num(truth) + rng.normal(size=truth.shape)).round(1)
    labels = Labels(task="regression", targets=("a", "b"), classes=(), values=truth)
    return labels, predicted


def classes(n_classes: int) -> tuple[Labels, np.ndarray]:
    rng = np.random.default_rng(1)
    codes = rng.integers(n_classes, size=N_ROWS)
    logits = rng.normal(size=(N_ROWS, n_classes)) + 1.5 * np.eye(n_classes)[codes]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    names = tuple(f"c{i}" for i in range(n_classes))
    return Labels(task="classification", targets=("y",), classes=names, values=codes), p


def several_labels() -> tuple[Labels, np.ndarray]:
    rng = np.random.default_rng(2)
    truth = (rng.random((N_ROWS, 3)) < 0.3).astype(float)
    scores = (0.3 * truth + 0.7 * rng.random(truth.shape)).round(1)
    truth[:7, 1] = np.nan
    return Labels(task="multi-label", targets=("a", "b", "c"), classes=(), values=truth), scores


def residues() -> tuple[Labels, np.ndarray]:
    rng = np.random.default_rng(4)
    lengths = rng.integers(3, 12, N_ROWS)
    codes = rng.integers(-1, 3, lengths.sum())
    outputs = rng.random((lengths.sum(), 3)) + 0.3 * np.eye(4)[codes][:, :3]
    labels = Labels(
        task="per-residue", targets=("y",), classes=("C", "E", "H"), values=codes, offsets=offsets_of(lengths)
    )
    return labels, outputs


Reference = Callable[[np.ndarray, np.ndarray], float]

NUMBERS: dict[str, Reference] = {
    "spearman": lambda t, p: stats.spearmanr(t, p).statistic,
    "pearson": lambda t, p: stats.pearsonr(t, p).statistic,
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
    "r2": metrics.r2_score,
}
CLASSES: dict[str, Reference] = {
    "accuracy": lambda t, p: metrics.accuracy_score(t, p.argmax(1)),
    "balanced_accuracy": lambda t, p: metrics.balanced_accuracy_score(t, p.argmax(1)),
    "macro_f1": lambda t, p: metrics.f1_score(t, p.argmax(1), average="macro"),
    "mcc": lambda t, p: metrics.matthews_corrcoef(t, p.argmax(1)),
    "auroc": lambda t, p: metrics.roc_auc_score(t, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr"),
}
LABELS: dict[str, Reference] = {
    "auroc": metrics.roc_auc_score,
    "auprc": metrics.average_precision_score,
}


def check_target(
    labels: Labels, predicted: np.ndarray, target: int, measure: str, reference: Reference
) -> None:
    """Check that a measure of one target is the reference's of the rows that have its number."""
    found = measurement_of(labels, predicted)(drawn())[measure][:, target]
    for counts, value in zip(drawn(), found, strict=True):
        rows = written_out(counts)
        rows = rows[~np.isnan(labels.numbers[rows, target])]
        expected = reference(labels.numbers[rows, target], predicted[rows, target])
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("measure", NUMBERS)
def test_numbers_are_measured_as_by_scipy_and_scikit_learn(measure: str, target: int) -> None:
    check_target(*regression(), target, measure, NUMBERS[measure])


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("measure", CLASSES)
def test_classes_are_measured_as_by_scikit_learn(measure: str, n_classes: int) -> None:
    labels, p = classes(n_classes)
    found = measurement_of(labels, p)(drawn())[measure][:, 0]
    for counts, value in zip(drawn(), found, strict=True):
        rows = written_out(counts)
        assert value == pytest.approx(CLASSES[measure](labels.codes[rows], p[rows]), abs=1e-12)


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("measure", LABELS)
def test_labels_are_measured_as_by_scikit_learn(measure: str, target: int) -> None:
    check_target(*several_labels(), target, measure, LABELS[measure])


@pytest.mark.parametrize("measure", ["accuracy", "macro_f1"])
def test_residues_are_drawn_with_their_whole_protein(measure: str) -> None:
    labels, outputs = residues()
    assert labels.offsets is not None
    found = measurement_of(labels, outputs)(drawn())[measure][:, 0]
    for counts, value in zip(drawn(), found, strict=True):
        places = units_of(written_out(counts), labels.offsets)
        places = places[labels.codes[places] != UNKNOWN]
        assert value == pytest.approx(CLASSES[measure](labels.codes[places], outputs[places]), abs=1e-12)


MAKERS = {
    "regression": regression,
    "classification": lambda: classes(3),
    "multi-label": several_labels,
    "per-residue": residues,
}


@pytest.mark.parametrize("task", MAKERS)
def test_every_task_has_its_measures_with_intervals_around_the_value(task: Any) -> None:
    labels, outputs = MAKERS[task]()
    judgement = judge_predictions(
        labels, [Predictions("it", "model", outputs, "nothing")], n_resamples=200, seed=0
    )
    (row,) = judgement.rows
    assert tuple(row.measures) == METRICS[task]
    for estimate in row.measures.values():
        assert estimate.low is not None
        assert estimate.low < estimate.value < estimate.high
    assert (len(row.by_target) > 1) == (len(labels.targets) > 1)
    assert (judgement.n_residues is not None) == (task == "per-residue")


def test_of_several_targets_the_mean_is_told_first() -> None:
    labels, predicted = regression()
    (row,) = judge_predictions(
        labels, [Predictions("it", "model", predicted, "")], n_resamples=0, seed=0
    ).rows
    first, second = (row.by_target[target]["spearman"].value for target in ("a", "b"))
    assert first is not None
    assert second is not None
    assert row.measures["spearman"].value == pytest.approx((first + second) / 2)


def test_a_constant_ranks_nothing_and_says_so() -> None:
    labels, predicted = regression()
    constant = Predictions("mean", "model", np.zeros_like(predicted) + 0.1, "")
    (row,) = judge_predictions(labels, [constant], n_resamples=20, seed=0).rows
    assert row.measures["spearman"].value is None
    assert row.measures["pearson"].value is None
    assert row.measures["rmse"].value is not None


def test_a_baseline_that_is_ahead_leads_by_a_difference_on_the_same_resamples() -> None:
    labels, predicted = regression()
    worse = predicted + np.random.default_rng(5).normal(size=predicted.shape) * 3
    model, baseline = Predictions("it", "model", worse, ""), Predictions("ridge", "baseline", predicted, "")
    judgement = judge_predictions(labels, [model, baseline], n_resamples=300, seed=0)
    (lead,) = judgement.leads
    assert lead.measure == "spearman"
    assert lead.difference.value == pytest.approx(lead.model_value - lead.baseline_value)
    assert lead.difference.high is not None
    assert lead.difference.high < 0
    equal = judge_predictions(labels, [model, model._replace(kind="baseline")], n_resamples=50, seed=0)
    assert (equal.leads[0].difference.low, equal.leads[0].difference.high) == (0, 0)
