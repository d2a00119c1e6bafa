"""Calibration: how far predictions can be trusted, and whether test rows confirm it.

Predicted numbers get intervals; probabilities of classes and labels are rescaled by a temperature. Both are
fitted to rows that the model was not fitted to. Intervals are split-conformal (Papadopoulos et al. 2002; Lei
et al. 2018, https://doi.org/10.1080/01621459.2017.1307116): among rows like those they were fitted to, they
contain at least the share ``coverage`` of the measured values, whatever the model. Temperatures follow Guo et
al. 2017 (https://arxiv.org/abs/1706.04599): one for all classes, or one for each label.
"""

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.evaluation.supervised.labels import UNKNOWN, Labels, offsets_of

N_BINS = 15
LARGEST_LOG_TEMPERATURE = 3.0
LEAST_PROBABILITY = 1e-12
Z = 1.959963984540054  # quantile of the normal distribution for a 95 % interval
THRESHOLD = 0.5  # a label is predicted from this probability on
TOLERANCE = 0.02  # probabilities that exceed the frequencies by more are too high


class Share(NamedTuple):
    """Holds a share of rows with its 95 % interval (Wilson 1927,
    https://doi.org/10.1080/01621459.1927.10502953).

    Attributes:
        n: Number of rows.
        value: The share, from 0 to 1.
        low: Lower bound of the interval.
        high: Upper bound of the interval.
    """

    n: int
    value: float
    low: float
    high: float


def share_of(n_such: int, n: int) -> Share:
    """Return the share of ``n_such`` among ``n`` rows, with its interval. ``n`` is at least 1."""
    value = n_such / n
    middle = value + Z**2 / (2 * n)
    reach = Z * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return Share(n, value, max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """Compares on test rows how often the most probable class was right with its mean probability.

    Attributes:
        n: Number of judged rows, residues or labels.
        n_rows: Number of rows that they belong to.
        right: Share of cases in which the most probable class was right.
        promised: Mean probability of the most probable class.
        low: Lower bound of the 95 % interval of ``promised`` minus ``right``. Whole rows are the unit,
            because the residues of one sequence are not independent.
        high: Upper bound of this interval.
    """

    n: int
    n_rows: int
    right: float
    promised: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(isinstance(value, int | float) for value in astuple(self)):
            raise ValueError("its promise is not described by numbers")

    @property
    def is_false(self) -> bool:
        """Whether the probabilities are too high: the whole interval lies above ``TOLERANCE``."""
        return self.low > TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Holds what decides the prediction intervals of a target.

    Attributes:
        scores: Distance |measured - predicted| of each calibration row, ascending. If ``spread`` is not 0,
            each distance is divided by the spread of the ensemble in its row plus ``spread``.
        spread: Mean spread of the ensemble; 0 for a single model. Without this addend, members that agree by
            chance would make an interval without width.
        tested: Scores of the test rows, which calibrate nothing, ascending; None without test rows.
    """

    scores: Floats
    spread: float = 0.0
    tested: Floats | None = None

    def half_width(self, coverage: float, spread: Floats) -> Floats:
        """Return half the width of the interval of each row. It is infinite if too few rows calibrate for
        this coverage.

        Args:
            coverage: Share of measured values that intervals should contain, between 0 and 1.
            spread: Spread of the ensemble in each row.
        """
        return conformal_limit(self.scores, coverage) * self._scale(spread)

    def n_needed(self, coverage: float) -> int:
        """Return how many calibration rows intervals of this coverage need at least, to be finite.

        Args:
            coverage: Share of measured values that intervals should contain, between 0 and 1.
        """
        n = max(1, int(coverage / (1 - coverage)) - 1)  # Rounding moves the bound by less than 1.
        while math.ceil((n + 1) * coverage) > n:
            n += 1
        return n

    def scores_of(self, truth: Floats, predicted: Floats, spread: Floats) -> Floats:
        """Return the scores of the rows whose measured value is known, ascending.

        Args:
            truth: Measured value of each row; NaN if it is not known.
            predicted: Predicted value of each row.
            spread: Spread of the ensemble in each row.
        """
        is_known = ~np.isnan(truth)
        errors = np.abs(truth - predicted)[is_known]
        return np.sort(errors / self._scale(spread[is_known]))

    def held(self, coverage: float) -> Share | None:
        """Return the share of test rows that lie inside intervals of this coverage.

        Args:
            coverage: Share of measured values that intervals should contain, between 0 and 1.

        Returns:
            None if there are no test rows, or if the intervals are infinite.
        """
        limit = conformal_limit(self.scores, coverage)
        if self.tested is None or not len(self.tested) or math.isinf(limit):
            return None
        return share_of(int((self.tested <= limit).sum()), len(self.tested))

    def _scale(self, spread: Floats) -> Floats:
        """Return the factor of each row between scores and distances."""
        return spread + self.spread if self.spread else np.ones_like(spread)


def conformal_limit(scores: Floats, coverage: float) -> float:
    """Return the limit that at least the share ``coverage`` of scores like these do not exceed; infinite if
    there are too few scores.

    Args:
        scores: Scores of the calibration rows, ascending.
        coverage: Share of scores, between 0 and 1.
    """
    rank = math.ceil((len(scores) + 1) * coverage)
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Holds what was fitted to calibration rows: intervals for numbers, or temperatures for probabilities.

    Attributes:
        intervals: Intervals of each target of a regression; empty for other tasks.
        temperatures: One temperature for all classes, or one for each label; empty for a regression.
        n: Number of rows or residues that it was fitted to.
        promise: How the probabilities of classes and labels did on test rows; None if that is not known.
    """

    intervals: tuple[Intervals, ...] = ()
    temperatures: tuple[float, ...] = ()
    n: int = 0
    promise: Promise | None = None

    def half_widths(self, coverage: float, spread: Floats) -> Floats:
        """Return half the width of the interval of each row (first axis) and target.

        Args:
            coverage: Share of measured values that intervals should contain, between 0 and 1.
            spread: Spread of the ensemble for each row and target; 0 for a single model.
        """
        pairs = zip(self.intervals, spread.T, strict=True)
        widths = [interval.half_width(coverage, of_target) for interval, of_target in pairs]
        return np.stack(widths, axis=1)

    def temper(self, probabilities: Floats) -> Floats:
        """Return the probabilities after temperature scaling; unchanged if no temperature was fitted.

        Args:
            probabilities: Probability of each class or label, for each row or residue.
        """
        if not self.temperatures:
            return probabilities
        if len(self.temperatures) == 1 and probabilities.shape[1] > 1:
            return temper_classes(probabilities, self.temperatures[0])
        return temper_labels(probabilities, np.array(self.temperatures))

    def shown(self, outputs: Floats) -> NDArray[np.float32]:
        """Return outputs as files hold them: numbers unchanged, probabilities after temperature scaling.

        Args:
            outputs: Outputs of the model.
        """
        return self.temper(outputs).astype(np.float32)

    def tested_on(self, labels: Labels, outputs: Floats, spread: Floats) -> "Calibration":
        """Return the same calibration with its results on rows that neither trained nor calibrated.

        Args:
            labels: What is known of these rows.
            outputs: Outputs of the model for these rows, before temperature scaling.
            spread: Spread of the ensemble for each row and target.
        """
        if labels.task != "regression":
            return replace(self, promise=keep_promise(labels, self.temper(outputs)))
        columns = zip(self.intervals, labels.numbers.T, outputs.T, spread.T, strict=True)
        intervals = [replace(one, tested=one.scores_of(*of_target)) for one, *of_target in columns]
        return replace(self, intervals=tuple(intervals))


def fit_intervals(labels: Labels, predicted: Floats, spread: Floats | None) -> Calibration:
    """Fit the intervals of a regression.

    Args:
        labels: Measured values of the calibration rows.
        predicted: Predicted value for each row and target.
        spread: Spread of the ensemble for each row and target; None for a single model.
    """
    found = []
    for i, truth in enumerate(labels.numbers.T):
        is_known = ~np.isnan(truth)
        of_target = np.zeros(len(truth)) if spread is None else spread[:, i]
        usual = float(of_target[is_known].mean()) if of_target[is_known].any() else 0.0
        empty = Intervals(scores=np.empty(0), spread=usual)
        found.append(replace(empty, scores=empty.scores_of(truth, predicted[:, i], of_target)))
    return Calibration(intervals=tuple(found), n=len(labels))


def fit_temperatures(labels: Labels, probabilities: Floats) -> Calibration:
    """Fit one temperature for all classes, or one for each label.

    Args:
        labels: True classes or labels of the calibration rows.
        probabilities: Predicted probabilities of these rows or residues.
    """
    if labels.classes:
        is_known = labels.codes != UNKNOWN
        temperature = _temperature_of_classes(probabilities[is_known], labels.codes[is_known])
        return Calibration(temperatures=(temperature,), n=int(is_known.sum()))
    pairs = zip(labels.numbers.T, probabilities.T, strict=True)
    temperatures = [_temperature_of_label(truth, of_label) for truth, of_label in pairs]
    return Calibration(temperatures=tuple(temperatures), n=len(labels))


def temper_classes(probabilities: Floats, temperature: float) -> Floats:
    """Compute softmax(log p / temperature)."""
    logits = np.log(np.maximum(probabilities, LEAST_PROBABILITY)) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    tempered: Floats = weights / weights.sum(axis=1, keepdims=True)
    return tempered


def temper_labels(probabilities: Floats, temperature: Floats | float) -> Floats:
    """Compute sigmoid(logit p / temperature)."""
    p = np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    tempered: Floats = 1 / (1 + np.exp(-np.log(p / (1 - p)) / temperature))
    return tempered


def is_temperature(number: float) -> bool:
    """Return whether a fit can have found this temperature. Others would make logits infinite or 0.

    Args:
        number: The temperature.
    """
    return number > 0 and abs(math.log(number)) <= LARGEST_LOG_TEMPERATURE


def calibration_error(labels: Labels, probabilities: Floats) -> float:
    """Compute the expected calibration error (Guo et al. 2017): the mean distance of confidence and accuracy,
    in bins of confidence.

    For labels it is the distance of probability and frequency, averaged over the labels.

    Args:
        labels: True classes or labels.
        probabilities: Predicted probabilities.
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


def keep_promise(labels: Labels, probabilities: Floats) -> Promise | None:
    """Compare the probabilities of classes or labels with the truth. Return None if fewer than two rows have
    a truth.
    """
    row, confidence, is_right = _choices(labels, probabilities)
    n_rows = len(np.unique(row))
    if n_rows < 2:
        return None
    n_of_row = np.bincount(row)
    excess = np.bincount(row, confidence - is_right)
    n = len(row)
    gap = float(excess.sum() / n)
    deviations = (excess - gap * n_of_row)[n_of_row > 0]
    reach = Z * math.sqrt(n_rows / (n_rows - 1) * float((deviations**2).sum())) / n
    return Promise(
        n=n,
        n_rows=n_rows,
        right=float(is_right.mean()),
        promised=float(confidence.mean()),
        low=gap - reach,
        high=gap + reach,
    )


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
    """Return the temperature that gives the truth the highest likelihood; 1 if there is no truth."""
    from scipy.optimize import minimize_scalar  # takes 0.5 s to import

    if not n:
        return 1.0

    def loss(log_temperature: float) -> float:
        likelihood = np.maximum(of_truth(math.exp(log_temperature)), LEAST_PROBABILITY)
        return float(-np.log(likelihood).mean())

    bounds = (-LARGEST_LOG_TEMPERATURE, LARGEST_LOG_TEMPERATURE)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def _choices(labels: Labels, probabilities: Floats) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
    """Return for everything whose truth is known its row, the probability of the most probable class, and
    whether it is right.
    """
    if labels.classes:
        offsets = offsets_of([1] * len(labels)) if labels.offsets is None else labels.offsets
        rows = np.repeat(np.arange(len(labels)), np.diff(offsets))
        is_known = labels.codes != UNKNOWN
        chosen = probabilities[is_known]
        return rows[is_known], chosen.max(axis=1), chosen.argmax(axis=1) == labels.codes[is_known]
    is_known = ~np.isnan(labels.numbers)
    rows = np.repeat(np.arange(len(labels)), is_known.sum(axis=1))
    p, truth = probabilities[is_known], labels.numbers[is_known] == 1
    return rows, np.maximum(p, 1 - p), (p >= THRESHOLD) == truth
