"""Baselines of a supervised task: they predict from the sequence alone, and are fitted to the same rows as
the model.

Regressions have ridge regressions (alpha 1), classes and labels have logistic regressions (C 1): on
composition, on 3-mers and, if all sequences have one length, on the residues at each site. Labels of residues
have a multinomial logistic regression on a window of residues. Every task has a constant: the mean, or the
frequency of each class.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats, Indices
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray

from biofm.core.choices import Task
from biofm.evaluation.assay_baselines import Missing
from biofm.evaluation.features import HALF_WINDOW, Codes, Windows, composition, count_features, kmers, one_hot
from biofm.evaluation.linear_models import Features, fit_logistic, predict_by_sparse_ridge
from biofm.evaluation.supervised.judgement import Predictions
from biofm.evaluation.supervised.labels import UNKNOWN, Labels, offsets_of, units_of
from biofm.modalities import Modality

Outputs = NDArray[np.floating]

MOST_RESIDUES = 200_000  # the window is fitted to at most these
RESIDUES_AT_ONCE = 1 << 16


class Fit(NamedTuple):
    """Holds rows to fit to and rows to predict: once for a test set, once for each fold of a
    cross-validation.

    Attributes:
        train: Numbers of the rows to fit to.
        judged: Numbers of the rows to predict.
    """

    train: Indices
    judged: Indices


class Finder(NamedTuple):
    """Holds how a baseline predicts the judged rows of a fit. ``detail`` is added to the words for what it is
    fitted to.
    """

    name: str
    predict: Callable[[Labels, Fit], Outputs]
    detail: str = ""


def find_baselines(
    sequences: Sequence[str],
    labels: Labels,
    fits: Sequence[Fit],
    fitted: str,
    *,
    modality: Modality,
    seed: int,
    progress: Callable[[int, int], None] = no_progress,
) -> list[Predictions | Missing]:
    """Compute every baseline of this task for the judged rows, in the order of the table, and say why others
    are missing.

    Args:
        sequences: Sequence of each row.
        labels: Targets of each row.
        fits: Rows to fit to and rows to predict.
        fitted: What the baselines are fitted to, in words.
        modality: Kind of the sequences.
        seed: Seed of the residues that the window is fitted to.
        progress: Called with the number of baselines done and of all baselines.
    """
    finders = _finders(sequences, labels, fits, modality, seed)
    found: list[Predictions | Missing] = []
    for number, finder in enumerate(finders):
        progress(number, len(finders))
        if isinstance(finder, Missing):
            found.append(finder)
        else:
            outputs = _predict_all(finder, labels, fits)
            found.append(Predictions(finder.name, "baseline", outputs, fitted + finder.detail))
    progress(len(finders), len(finders))
    return found


def _finders(
    sequences: Sequence[str], labels: Labels, fits: Sequence[Fit], modality: Modality, seed: int
) -> list[Finder | Missing]:
    rows, n_codes, units = [*map(modality.codes, sequences)], modality.n_codes, modality.words.units
    constant = Finder(_CONSTANTS[labels.task], _Constant(labels, fits))
    if labels.task == "per-residue":
        detail = f", at most {MOST_RESIDUES:,} of their {units}"
        name = f"window of {2 * HALF_WINDOW + 1} {units}, logistic"
        return [Finder(name, _Window(rows, n_codes, seed), detail), constant]
    kind, model = ("ridge", _ridge) if labels.task == "regression" else ("logistic", _logistic)
    found: list[Finder | Missing] = [
        Finder(f"composition {kind}", _OnFeatures(_Standardised(composition(rows, n_codes)), model)),
        Finder(f"k-mer {kind}", _OnFeatures(_Counts(rows, kmers, n_codes), model)),
    ]
    lengths = sorted(set(map(len, rows)))
    if len(lengths) == 1:
        found.append(Finder(f"one-hot {kind}", _OnFeatures(_Counts(rows, one_hot, n_codes), model)))
    else:
        reason = f"the sequences are {lengths[0]:,} to {lengths[-1]:,} {units} long"
        found.append(Missing(f"one-hot {kind}", reason))
    return [*found, constant]


_CONSTANTS: dict[Task, str] = {
    "regression": "mean",
    "classification": "majority class",
    "multi-label": "label frequencies",
    "per-residue": "majority class",
}


def _predict_all(finder: Finder, labels: Labels, fits: Sequence[Fit]) -> Outputs:
    judged = np.sort(np.concatenate([fit.judged for fit in fits]))
    offsets = np.arange(len(judged) + 1)
    if labels.offsets is not None:
        offsets = offsets_of(labels.lengths[judged])
    outputs = np.empty((offsets[-1], labels.n_outputs), np.float64 if labels.offsets is None else np.float32)
    for fit in fits:
        places = units_of(np.searchsorted(judged, fit.judged), offsets)
        outputs[places] = finder.predict(labels, fit)
    return outputs


class _Constant:
    """Predicts the mean or the class frequencies of all rows that train in any fold. A constant that differs
    between folds would only blur the ranks.
    """

    def __init__(self, labels: Labels, fits: Sequence[Fit]) -> None:
        known = labels.take(np.unique(np.concatenate([fit.train for fit in fits])))
        if labels.classes:
            codes = known.codes[known.codes != UNKNOWN]
            self._usual = np.bincount(codes, minlength=labels.n_outputs) / len(codes)
        else:
            self._usual = np.nanmean(known.numbers, axis=0)

    def __call__(self, labels: Labels, fit: Fit) -> Outputs:
        return np.tile(self._usual, (labels.take(fit.judged).n_units, 1))


class _Standardised:
    """Holds dense features, standardised by the training rows. A column that is constant there becomes 0."""

    def __init__(self, values: Floats) -> None:
        self._values = values

    def __call__(self, fit: Fit) -> tuple[Features, Features]:
        train = self._values[fit.train]
        mean, spread = train.mean(0), train.std(0)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)
        return (train - mean) * scale, (self._values[fit.judged] - mean) * scale


class _Counts:
    """Holds sparse counts of the features that ``features_of`` finds in the codes of a sequence."""

    def __init__(
        self, rows: Sequence[Codes], features_of: Callable[[Codes, int], Codes], n_codes: int
    ) -> None:
        self._features = count_features(rows, features_of, n_codes)

    def __call__(self, fit: Fit) -> tuple[Features, Features]:
        return self._features[fit.train], self._features[fit.judged]


class _OnFeatures:
    """Fits a model to features of whole sequences, and predicts from them."""

    def __init__(
        self,
        features: Callable[[Fit], tuple[Features, Features]],
        model: Callable[[Features, Labels, Features], Outputs],
    ) -> None:
        self._features = features
        self._model = model

    def __call__(self, labels: Labels, fit: Fit) -> Outputs:
        train, judged = self._features(fit)
        return self._model(train, labels.take(fit.train), judged)


def _ridge(train: Features, labels: Labels, judged: Features) -> Outputs:
    """Predict each target by a ridge regression that is fitted to the rows with a known target."""
    from scipy import sparse  # takes 0.25 s to import

    train, judged = sparse.csr_matrix(train), sparse.csr_matrix(judged)
    predicted = []
    for truth in labels.numbers.T:
        is_known = ~np.isnan(truth)
        deviation = predict_by_sparse_ridge(train[is_known], truth[is_known], judged)
        predicted.append(truth[is_known].mean() + deviation)
    return np.stack(predicted, axis=1)


def _logistic(train: Features, labels: Labels, judged: Features) -> Outputs:
    """Predict the probabilities of the classes, or of each label by a model of its own that is fitted to the
    rows with a known label.
    """
    if labels.task == "classification":
        return fit_logistic(train, labels.codes, labels.n_outputs).probabilities(judged)
    predicted = []
    for truth in labels.numbers.T:
        is_known = ~np.isnan(truth)
        model = fit_logistic(train[is_known], truth[is_known].astype(np.int64), 2)
        predicted.append(model.probabilities(judged)[:, 1])
    return np.stack(predicted, axis=1)


class _Window:
    """Predicts the label of a residue from its neighbours by logistic regression. It is fitted to at most
    ``MOST_RESIDUES`` residues, which bounds the memory.
    """

    def __init__(self, rows: Sequence[Codes], n_codes: int, seed: int) -> None:
        self._windows = Windows(rows, n_codes)
        self._seed = seed

    def __call__(self, labels: Labels, fit: Fit) -> Outputs:
        assert labels.offsets is not None
        residues = units_of(fit.train, labels.offsets)
        residues = residues[labels.codes[residues] != UNKNOWN]
        if len(residues) > MOST_RESIDUES:
            drawn = np.random.default_rng(self._seed).choice(len(residues), MOST_RESIDUES, replace=False)
            residues = residues[np.sort(drawn)]
        codes = labels.codes[residues]
        model = fit_logistic(self._windows.one_hot(residues), codes, labels.n_outputs)
        judged = units_of(fit.judged, labels.offsets)
        outputs = np.empty((len(judged), labels.n_outputs), np.float32)
        for begin in range(0, len(judged), RESIDUES_AT_ONCE):
            some = slice(begin, begin + RESIDUES_AT_ONCE)
            outputs[some] = model.probabilities(self._windows.one_hot(judged[some]))
        return outputs
