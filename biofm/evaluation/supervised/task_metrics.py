"""Task metrics: predictions of each supervised task are measured, over many resamples of the rows at once.

A resample is given as how often it drew each row, as in ``biofm.evaluation.rank_metrics``. Residues of one
protein resemble each other, so for residue labels whole proteins are drawn. A metric that is not defined is
NaN.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.core.choices import Task
from biofm.evaluation.rank_metrics import (
    Drawn,
    Ranking,
    Sample,
    area_under_precision,
    area_under_roc,
    ratio,
    spearman,
)
from biofm.evaluation.supervised.labels import UNKNOWN, Labels

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Outputs = NDArray[np.floating]
"""Holds predicted numbers or probabilities, shape (``Labels.n_units``, ``Labels.n_outputs``)."""

Measured = dict[str, Floats]
"""Holds the values of each metric, by its name, with shape (resamples, targets)."""

PRIMARY: dict[Task, str] = {
    "regression": "spearman",
    "classification": "mcc",
    "multi-label": "auroc",
    "per-residue": "accuracy",
}
"""Names the metric of each task by which a model and its baselines are compared."""

METRICS: dict[Task, tuple[str, ...]] = {
    "regression": ("spearman", "pearson", "rmse", "mae", "r2"),
    "classification": ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc"),
    "multi-label": ("auroc", "auprc"),
    "per-residue": ("accuracy", "macro_f1"),
}

Measurement = Callable[[Floats], Measured]
"""Measures predictions in resamples, which are given as counts of shape (resamples, rows)."""


def measurement_of(labels: Labels, outputs: Outputs) -> Measurement:
    """Return the function that measures these predictions of these labels in resamples."""
    assert outputs.shape == (labels.n_units, labels.n_outputs), (outputs.shape, labels.n_units)
    return _MEASUREMENTS[labels.task](labels, outputs)


class _Regression:
    """Computes Spearman, Pearson, root mean square error, mean absolute error, and the coefficient of
    determination.
    """

    def __init__(self, labels: Labels, outputs: Outputs) -> None:
        self._targets = [
            _RegressionTarget(truth, predicted)
            for truth, predicted in zip(labels.numbers.T, outputs.T.astype(np.float64), strict=True)
        ]

    def __call__(self, counts: Floats) -> Measured:
        return _beside_each_other([target(counts) for target in self._targets])


class _RegressionTarget:
    """Computes the metrics of one target."""

    def __init__(self, truth: Floats, predicted: Floats) -> None:
        self.is_known = ~np.isnan(truth)
        truth, predicted = truth[self.is_known], predicted[self.is_known]
        self.rankings = Ranking(truth), Ranking(predicted)
        self.error = predicted - truth
        self.centred = [values - values.mean() if len(values) else values for values in (truth, predicted)]

    def __call__(self, counts: Floats) -> dict[str, Floats]:
        counts = counts[:, self.is_known]
        n = counts.sum(1)
        truth, predicted = self.centred
        spread, spread_of_predicted = (
            counts @ values**2 - ratio((counts @ values) ** 2, n, 0.0) for values in (truth, predicted)
        )
        shared = counts @ (truth * predicted) - ratio((counts @ truth) * (counts @ predicted), n, 0.0)
        both = np.sqrt(_positive(spread, truth, n) * _positive(spread_of_predicted, predicted, n))
        squares = counts @ self.error**2
        measured, score = (Drawn(ranking, counts) for ranking in self.rankings)
        sample = Sample(counts, measured, score, np.zeros(counts.shape[1], np.bool_))
        return {
            "spearman": spearman(sample),
            "pearson": ratio(shared, both),
            "rmse": np.sqrt(ratio(squares, n)),
            "mae": ratio(counts @ np.abs(self.error), n),
            "r2": 1 - ratio(squares, _positive(spread, truth, n)),
        }


class _Classification:
    """Computes the metrics of classes.

    By the most probable class: accuracy, the mean of the classes' recalls, the mean of their F1, and
    Matthews' correlation (Gorodkin 2004). By the probabilities: the mean AUROC of each class against the
    others.
    """

    def __init__(self, labels: Labels, outputs: Outputs) -> None:
        self._tally = _Tally(labels, outputs)
        columns = [1] if labels.n_outputs == 2 else range(labels.n_outputs)
        self._areas = [_Areas((labels.codes == i).astype(np.float64), outputs[:, i]) for i in columns]

    def __call__(self, counts: Floats) -> Measured:
        found = self._tally(counts)
        areas = np.stack([area(counts)["auroc"] for area in self._areas], axis=1)
        measured = {
            "accuracy": found.accuracy(),
            "balanced_accuracy": mean_of_defined(ratio(found.hits, found.truth)),
            "macro_f1": found.macro_f1(),
            "mcc": found.mcc(),
            "auroc": mean_of_defined(areas),
        }
        return {name: values[:, None] for name, values in measured.items()}


class _MultiLabel:
    """Computes AUROC and AUPRC (average precision) of each label."""

    def __init__(self, labels: Labels, outputs: Outputs) -> None:
        self._areas = [_Areas(labels.numbers[:, i], outputs[:, i]) for i in range(labels.n_outputs)]

    def __call__(self, counts: Floats) -> Measured:
        return _beside_each_other([area(counts) for area in self._areas])


class _PerResidue:
    """Computes accuracy over all residues and the mean F1 of the letters."""

    def __init__(self, labels: Labels, outputs: Outputs) -> None:
        self._tally = _Tally(labels, outputs)

    def __call__(self, counts: Floats) -> Measured:
        found = self._tally(counts)
        return {"accuracy": found.accuracy()[:, None], "macro_f1": found.macro_f1()[:, None]}


_MEASUREMENTS: dict[Task, Callable[[Labels, Outputs], Measurement]] = {
    "regression": _Regression,
    "classification": _Classification,
    "multi-label": _MultiLabel,
    "per-residue": _PerResidue,
}


class _Areas:
    """Computes the areas under the curves of one label, whose truth is 0, 1 or NaN."""

    def __init__(self, truth: Floats, score: Outputs) -> None:
        self.is_known = ~np.isnan(truth)
        self.positive = truth[self.is_known]
        self.ranking = Ranking(score[self.is_known].astype(np.float64))

    def __call__(self, counts: Floats) -> dict[str, Floats]:
        counts = counts[:, self.is_known]
        score = Drawn(self.ranking, counts)
        n_positive_at = self.ranking.tally(counts * self.positive)
        return {
            "auroc": area_under_roc(score, n_positive_at),
            "auprc": area_under_precision(score, n_positive_at),
        }


class _Found(NamedTuple):
    """Holds how often each class was true, was predicted, and both: shape (resamples, classes)."""

    truth: Floats
    predicted: Floats
    hits: Floats

    def accuracy(self) -> Floats:
        return ratio(self.hits.sum(1), self.truth.sum(1))

    def macro_f1(self) -> Floats:
        """Compute the mean F1 of the classes that are true or predicted anywhere."""
        return mean_of_defined(ratio(2 * self.hits, self.truth + self.predicted))

    def mcc(self) -> Floats:
        """Compute Matthews' correlation; 0 if all rows have one class or are predicted as one class, as in
        scikit-learn.
        """
        n = self.truth.sum(1)
        covariance = self.hits.sum(1) * n - (self.truth * self.predicted).sum(1)
        spread = (n**2 - (self.truth**2).sum(1)) * (n**2 - (self.predicted**2).sum(1))
        return ratio(covariance, np.sqrt(np.maximum(spread, 0)), undefined=0.0)


class _Tally:
    """Counts classes in each resample. Memory grows with the number of classes, not with its square."""

    def __init__(self, labels: Labels, outputs: Outputs) -> None:
        is_known = labels.codes != UNKNOWN
        row = np.arange(len(labels))
        if labels.offsets is not None:
            row = np.repeat(row, labels.lengths)
        row, truth, predicted = row[is_known], labels.codes[is_known], outputs.argmax(1)[is_known]
        is_hit = truth == predicted
        shape = (len(labels), labels.n_outputs)
        pairs = ((row, truth), (row, predicted), (row[is_hit], truth[is_hit]))
        self._of_rows = [_count(*pair, shape) for pair in pairs]

    def __call__(self, counts: Floats) -> _Found:
        return _Found(*((of_row.T @ counts.T).T for of_row in self._of_rows))


def _count(rows: NDArray[np.int64], classes: NDArray[np.int64], shape: tuple[int, int]) -> "csr_matrix":
    """Count how often each class occurs in each row."""
    from scipy import sparse  # takes 0.25 s to import

    return sparse.csr_matrix((np.ones(len(rows)), (rows, classes)), shape=shape)


def _positive(spread: Floats, values: Floats, n: Floats) -> Floats:
    """Return the sum of squares about the mean; 0 if it is no more than rounding error."""
    noise = 1e-12 * n * (values**2).max(initial=0)
    return np.where(spread > noise, spread, 0)


def _beside_each_other(targets: list[dict[str, Floats]]) -> Measured:
    return {name: np.stack([target[name] for target in targets], axis=1) for name in targets[0]}


def mean_of_defined(values: Floats) -> Floats:
    """Compute the mean over the last axis of the values that are not NaN; NaN if all are NaN."""
    is_defined = ~np.isnan(values)
    return ratio(np.where(is_defined, values, 0).sum(-1), is_defined.sum(-1))
