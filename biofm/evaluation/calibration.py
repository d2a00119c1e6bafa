"""How far a prediction can be trusted: intervals for numbers, tempered probabilities for classes.

Both are fitted to rows that the model was not fitted to. Intervals are split-conformal (Papadopoulos et al.
2002; Lei et al. 2018, https://doi.org/10.1080/01621459.2017.1307116): of rows like those they were fitted to,
they hold at least the share ``coverage``, whatever the model. Temperatures are those of Guo et al. 2017
(https://arxiv.org/abs/1706.04599): one number for all classes, or one for each label.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.evaluation.supervised.labels import UNKNOWN, Labels
from biofm.evaluation.tested import Promise, Share, keep_promise, share_of

N_BINS = 15
LARGEST_LOG_TEMPERATURE = 3.0
LEAST_PROBABILITY = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """``scores``: |truth - prediction| of the calibration rows, ascending. Where ``spread`` is not 0, each is
    divided by the spread of the ensemble in that row plus ``spread``, the mean of them: without that, members
    that agree by chance would make an interval of no width. ``tested``: those of the test rows, which
    calibrate nothing, ascending; None where there were none.
    """

    scores: Floats
    spread: float = 0.0
    tested: Floats | None = None

    def half_width(self, coverage: float, spread: Floats) -> Floats:
        """Half the width of the interval of each row, given the ensemble's spread there; infinite where so
        few rows calibrate that no finite one can be promised.
        """
        return conformal_limit(self.scores, coverage) * self._scale(spread)

    def scores_of(self, truth: Floats, predicted: Floats, spread: Floats) -> Floats:
        """Of the rows whose truth is known, ascending."""
        is_known = ~np.isnan(truth)
        errors = np.abs(truth - predicted)[is_known]
        return np.sort(errors / self._scale(spread[is_known]))

    def held(self, coverage: float) -> Share | None:
        """How many of the test rows lie inside intervals of this coverage; None where that is not known, or
        where the intervals have no end.
        """
        limit = conformal_limit(self.scores, coverage)
        if self.tested is None or not len(self.tested) or math.isinf(limit):
            return None
        return share_of(int((self.tested <= limit).sum()), len(self.tested))

    def _scale(self, spread: Floats) -> Floats:
        return spread + self.spread if self.spread else np.ones_like(spread)


def conformal_limit(scores: Floats, coverage: float) -> float:
    """What at least the share ``coverage`` of scores like these, which are ascending, will not exceed;
    infinite where there are too few to promise that.
    """
    rank = math.ceil((len(scores) + 1) * coverage)
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """``intervals``: one a target of a regression. ``temperatures``: one for all classes, or one a label.
    ``n``: the rows, or residues, that they were fitted to. ``promise``: what the probabilities of classes
    and labels were worth on the test rows; None where that is not known.
    """

    intervals: tuple[Intervals, ...] = ()
    temperatures: tuple[float, ...] = ()
    n: int = 0
    promise: Promise | None = None

    def half_widths(self, coverage: float, spread: Floats) -> Floats:
        """Of every row and target, shape (rows, targets), like the ensemble's ``spread``."""
        pairs = zip(self.intervals, spread.T, strict=True)
        widths = [interval.half_width(coverage, of_target) for interval, of_target in pairs]
        return np.stack(widths, axis=1)

    def temper(self, probabilities: Floats) -> Floats:
        """The calibrated probabilities; as they are where nothing was fitted."""
        if not self.temperatures:
            return probabilities
        if len(self.temperatures) == 1 and probabilities.shape[1] > 1:
            return temper_classes(probabilities, self.temperatures[0])
        return temper_labels(probabilities, np.array(self.temperatures))

    def shown(self, outputs: Floats) -> NDArray[np.float32]:
        """What files hold of a model's outputs: numbers as they are, calibrated probabilities."""
        return self.temper(outputs).astype(np.float32)

    def tested_on(self, labels: Labels, outputs: Floats, spread: Floats) -> "Calibration":
        """The same, with what it is worth on rows that neither trained nor calibrated."""
        if labels.task != "regression":
            return replace(self, promise=keep_promise(labels, self.temper(outputs)))
        columns = zip(self.intervals, labels.numbers.T, outputs.T, spread.T, strict=True)
        intervals = [replace(one, tested=one.scores_of(*of_target)) for one, *of_target in columns]
        return replace(self, intervals=tuple(intervals))


def fit_intervals(labels: Labels, predicted: Floats, spread: Floats | None) -> Calibration:
    """For a regression. ``spread``: of an ensemble, shape (rows, targets); None of a single model."""
    found = []
    for i, truth in enumerate(labels.numbers.T):
        is_known = ~np.isnan(truth)
        of_target = np.zeros(len(truth)) if spread is None else spread[:, i]
        usual = float(of_target[is_known].mean()) if of_target[is_known].any() else 0.0
        empty = Intervals(scores=np.empty(0), spread=usual)
        found.append(replace(empty, scores=empty.scores_of(truth, predicted[:, i], of_target)))
    return Calibration(intervals=tuple(found), n=len(labels))


def fit_temperatures(labels: Labels, probabilities: Floats) -> Calibration:
    """For classes, of rows or of residues, and for labels."""
    if labels.classes:
        is_known = labels.codes != UNKNOWN
        temperature = _temperature_of_classes(probabilities[is_known], labels.codes[is_known])
        return Calibration(temperatures=(temperature,), n=int(is_known.sum()))
    pairs = zip(labels.numbers.T, probabilities.T, strict=True)
    temperatures = [_temperature_of_label(truth, of_label) for truth, of_label in pairs]
    return Calibration(temperatures=tuple(temperatures), n=len(labels))


def temper_classes(probabilities: Floats, temperature: float) -> Floats:
    """softmax(log p / temperature)."""
    logits = np.log(np.maximum(probabilities, LEAST_PROBABILITY)) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    tempered: Floats = weights / weights.sum(axis=1, keepdims=True)
    return tempered


def temper_labels(probabilities: Floats, temperature: Floats | float) -> Floats:
    """sigmoid(logit p / temperature)."""
    p = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    tempered: Floats = 1 / (1 + np.exp(-np.log(p / (1 - p)) / temperature))
    return tempered


def is_temperature(number: float) -> bool:
    """Whether it is one that could have been fitted; others divide logits into infinity or nothing."""
    return number > 0 and abs(math.log(number)) <= LARGEST_LOG_TEMPERATURE


def calibration_error(labels: Labels, probabilities: Floats) -> float:
    """The expected calibration error (Guo et al. 2017): how far confidence and accuracy lie apart, in bins of
    confidence; of labels, probability and frequency, the mean over the labels.
    """
    if labels.classes:
        is_known = labels.codes != UNKNOWN
        chosen, codes = probabilities[is_known], labels.codes[is_known]
        return _binned_error(chosen.max(axis=1), chosen.argmax(axis=1) == codes)
    errors = []
    for truth, of_label in zip(labels.numbers.T, probabilities.T, strict=True):
        is_known = ~np.isnan(truth)
        errors.append(_binned_error(of_label[is_known], truth[is_known]))
    return float(np.mean(errors))


def _binned_error(confidence: Floats, is_right: Floats | NDArray[np.bool_]) -> float:
    bins = np.minimum((confidence * N_BINS).astype(np.int64), N_BINS - 1)
    gaps = np.bincount(bins, confidence - is_right.astype(np.float64), minlength=N_BINS)
    return float(np.abs(gaps).sum() / max(1, len(confidence)))


def _temperature_of_classes(probabilities: Floats, codes: NDArray[np.int64]) -> float:
    rows = np.arange(len(codes))
    return _best_temperature(lambda t: temper_classes(probabilities, t)[rows, codes], len(codes))


def _temperature_of_label(truth: Floats, probabilities: Floats) -> float:
    is_known = ~np.isnan(truth)
    is_positive, p = truth[is_known] == 1, probabilities[is_known]

    def of_truth(temperature: float) -> Floats:
        tempered = temper_labels(p, temperature)
        return np.where(is_positive, tempered, 1 - tempered)

    return _best_temperature(of_truth, len(p))


def _best_temperature(of_truth: Callable[[float], Floats], n: int) -> float:
    """The temperature that gives the truth the highest likelihood; 1 where there is no truth."""
    from scipy.optimize import minimize_scalar  # half a second, which other commands should not pay

    if not n:
        return 1.0

    def loss(log_temperature: float) -> float:
        likelihood = np.maximum(of_truth(math.exp(log_temperature)), LEAST_PROBABILITY)
        return float(-np.log(likelihood).mean())

    bounds = (-LARGEST_LOG_TEMPERATURE, LARGEST_LOG_TEMPERATURE)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)
