"""Calibration: how far a prediction can be trusted, and whether test rows keep the promise.

Numbers get intervals, classes and labels get tempered probabilities.

Both are fitted to rows that the model was not fitted to. Intervals are split-conformal (Papadopoulos et al.
2002; Lei et al. 2018, https://doi.org/10.1080/01621459.2017.1307116): of rows like those they were fitted to,
they hold at least the share ``coverage``, whatever the model. Temperatures are those of Guo et al. 2017
(https://arxiv.org/abs/1706.04599): one number for all classes, or one for each label.
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
Z = 1.959963984540054  # of the normal distribution, for 95 %
THRESHOLD = 0.5  # of a label's probability
TOLERANCE = 0.02  # probabilities that exceed the frequencies by more than this promise too much


class Share(NamedTuple):
    """The share ``value`` of ``n`` rows, and the bounds of its 95 % interval (Wilson 1927,
    https://doi.org/10.1080/01621459.1927.10502953).
    """

    n: int
    value: float
    low: float
    high: float


def share_of(n_such: int, n: int) -> Share:
    """The share of ``n_such`` among ``n`` rows, which are at least one."""
    value = n_such / n
    middle = value + Z**2 / (2 * n)
    reach = Z * math.sqrt(value * (1 - value) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    return Share(n, value, max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale))


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """On test rows, how often the most probable class was ``right``, beside its mean probability,
    ``promised``.

    ``n`` counts the rows, residues or labels, which are of ``n_rows`` rows. ``low`` and ``high`` bound the
    95 % interval of ``promised`` less ``right``, by rows: residues of one sequence are not independent.
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
        """Whether the whole interval lies above ``TOLERANCE``: the probabilities promise too much."""
        return self.low > TOLERANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """The intervals of a target: ``scores`` are |truth - prediction| of the calibration rows, ascending.

    Where ``spread`` is not 0, each score is divided by the spread of the ensemble in that row plus
    ``spread``, the mean spread: without that, members that agree by chance would make an interval of no
    width. ``tested`` holds the scores of the test rows, which calibrate nothing, ascending; None without
    test rows.
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
        """The scores of the rows whose truth is known, ascending."""
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
    """The limit that at least the share ``coverage`` of scores like these will not exceed; infinite where
    there are too few scores to promise that. ``scores`` are ascending.
    """
    rank = math.ceil((len(scores) + 1) * coverage)
    return float(scores[rank - 1]) if rank <= len(scores) else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was fitted to ``n`` rows or residues: ``intervals``, one for each target of a regression, or
    ``temperatures``, one for all classes or one for each label. ``promise`` says what the probabilities of
    classes and labels were worth on the test rows; None where that is not known.
    """

    intervals: tuple[Intervals, ...] = ()
    temperatures: tuple[float, ...] = ()
    n: int = 0
    promise: Promise | None = None

    def half_widths(self, coverage: float, spread: Floats) -> Floats:
        """Half the widths of the intervals, shape (rows, targets), like the ensemble's ``spread``."""
        pairs = zip(self.intervals, spread.T, strict=True)
        widths = [interval.half_width(coverage, of_target) for interval, of_target in pairs]
        return np.stack(widths, axis=1)

    def temper(self, probabilities: Floats) -> Floats:
        """The calibrated probabilities; the given ones where nothing was fitted."""
        if not self.temperatures:
            return probabilities
        if len(self.temperatures) == 1 and probabilities.shape[1] > 1:
            return temper_classes(probabilities, self.temperatures[0])
        return temper_labels(probabilities, np.array(self.temperatures))

    def shown(self, outputs: Floats) -> NDArray[np.float32]:
        """The outputs as files hold them: numbers as they are, probabilities calibrated."""
        return self.temper(outputs).astype(np.float32)

    def tested_on(self, labels: Labels, outputs: Floats, spread: Floats) -> "Calibration":
        """The same calibration, with what it is worth on rows that neither trained nor calibrated."""
        if labels.task != "regression":
            return replace(self, promise=keep_promise(labels, self.temper(outputs)))
        columns = zip(self.intervals, labels.numbers.T, outputs.T, spread.T, strict=True)
        intervals = [replace(one, tested=one.scores_of(*of_target)) for one, *of_target in columns]
        return replace(self, intervals=tuple(intervals))


def fit_intervals(labels: Labels, predicted: Floats, spread: Floats | None) -> Calibration:
    """Fit the intervals of a regression. ``spread`` is that of an ensemble, shape (rows, targets); None for a
    single model.
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
    """Fit the temperature of classes, of rows or of residues, or the temperature of each label."""
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
    """Whether a fit could have found it; others divide logits into infinity or nothing."""
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


def keep_promise(labels: Labels, probabilities: Floats) -> Promise | None:
    """Compare the probabilities of classes or labels with the truth; None where fewer than two rows have
    one.
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
    """The temperature that gives the truth the highest likelihood; 1 where there is no truth."""
    from scipy.optimize import minimize_scalar  # half a second, which other commands should not pay

    if not n:
        return 1.0

    def loss(log_temperature: float) -> float:
        likelihood = np.maximum(of_truth(math.exp(log_temperature)), LEAST_PROBABILITY)
        return float(-np.log(likelihood).mean())

    bounds = (-LARGEST_LOG_TEMPERATURE, LARGEST_LOG_TEMPERATURE)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def _choices(labels: Labels, probabilities: Floats) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
    """For everything whose truth is known: its row, the probability of the most probable, and whether it is
    true.
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
