"""Intervals and temperatures on data whose coverage and temperature are known; promises beside scipy and the
bootstrap.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from biofm.evaluation import Calibration, Intervals, calibration_error, fit_intervals, fit_temperatures
from biofm.evaluation.calibration import keep_promise, share_of, temper_classes, temper_labels
from biofm.evaluation.supervised import UNKNOWN, Labels

Floats = NDArray[np.float64]


def numbers(truth: Floats) -> Labels:
    targets = tuple(f"y{i}" for i in range(truth.shape[1]))
    return Labels(task="regression", targets=targets, classes=(), values=truth)


def codes(truth: NDArray[np.int64], n_classes: int) -> Labels:
    names = tuple(map(str, range(n_classes)))
    return Labels(task="classification", targets=("y",), classes=names, values=truth)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_intervals_cover_the_share_that_they_promise(coverage: float) -> None:
    """Of n calibration rows the expected coverage is k / (n + 1), k = ceil((n + 1) coverage), by symmetry."""
    rng = np.random.default_rng(0)
    n, n_new, n_repeats = 60, 200, 400
    covered = []
    for _ in range(n_repeats):
        errors = rng.standard_t(3, size=n + n_new)
        calibration = fit_intervals(numbers(errors[:n, None]), np.zeros((n, 1)), None)
        width = calibration.half_widths(coverage, np.zeros((n_new, 1)))[:, 0]
        covered.append((np.abs(errors[n:]) <= width).mean())
    expected = math.ceil((n + 1) * coverage) / (n + 1)
    error = np.std(covered) / math.sqrt(n_repeats)
    assert expected >= coverage
    assert np.mean(covered) == pytest.approx(expected, abs=4 * error)


def test_intervals_by_the_spread_are_wide_where_errors_are() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    spread = rng.uniform(0.1, 2, size=(n, 1))
    truth = rng.normal(size=(n, 1)) * spread
    half = n // 2
    calibration = fit_intervals(numbers(truth[:half]), np.zeros((half, 1)), spread[:half])
    width = calibration.half_widths(0.9, spread[half:])
    covered = np.abs(truth[half:]) <= width
    is_wide = spread[half:] > 1
    assert covered.mean() == pytest.approx(0.9, abs=0.03)
    assert width[is_wide].min() > width[~is_wide].max()
    plain = fit_intervals(numbers(truth[:half]), np.zeros((half, 1)), None).half_widths(0.9, spread[half:])
    gap = abs(covered[is_wide].mean() - covered[~is_wide].mean())
    covered_plainly = np.abs(truth[half:]) <= plain
    assert gap < abs(covered_plainly[is_wide].mean() - covered_plainly[~is_wide].mean())


def test_too_few_rows_promise_no_finite_interval() -> None:
    scores = np.linspace(0, 1, 8)
    assert math.isinf(Intervals(scores=scores).half_width(0.9, np.zeros(3))[0])
    assert Intervals(scores=np.linspace(0, 1, 9)).half_width(0.9, np.zeros(3)).tolist() == [1, 1, 1]


def test_a_target_that_is_not_known_everywhere_is_calibrated_where_it_is() -> None:
    truth = np.arange(40.0).reshape(20, 2)
    truth[:8, 1] = np.nan
    calibration = fit_intervals(numbers(truth), np.zeros((20, 2)), None)
    assert [len(interval.scores) for interval in calibration.intervals] == [20, 12]


def test_members_that_agree_everywhere_leave_intervals_of_one_width() -> None:
    truth = np.random.default_rng(2).normal(size=(30, 1))
    calibration = fit_intervals(numbers(truth), np.zeros((30, 1)), np.zeros((30, 1)))
    assert len(set(calibration.half_widths(0.8, np.zeros((5, 1))).ravel())) == 1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_classes_is_found_again(temperature: float) -> None:
    rng = np.random.default_rng(3)
    honest = rng.dirichlet(np.full(4, 0.7), size=20_000)
    truth = (honest.cumsum(1) > rng.random((len(honest), 1))).argmax(1)
    shown = temper_classes(honest, 1 / temperature)
    labels = codes(truth, 4)
    calibration = fit_temperatures(labels, shown)
    assert calibration.temperatures[0] == pytest.approx(temperature, rel=0.05)
    np.testing.assert_allclose(calibration.temper(shown), honest, atol=0.03)
    before, after = calibration_error(labels, shown), calibration_error(labels, calibration.temper(shown))
    assert after < 0.01
    if temperature != 1:
        assert before > 0.05


def test_each_label_has_a_temperature_of_its_own() -> None:
    rng = np.random.default_rng(4)
    honest = rng.uniform(0.02, 0.98, size=(20_000, 2))
    truth = (rng.random(honest.shape) < honest).astype(float)
    truth[:100, 0] = np.nan
    shown = temper_labels(honest, np.array([0.4, 2.0]))
    labels = Labels(task="multi-label", targets=("a", "b"), classes=(), values=truth)
    calibration = fit_temperatures(labels, shown)
    assert calibration.temperatures == pytest.approx([1 / 0.4, 0.5], rel=0.06)
    assert calibration_error(labels, calibration.temper(shown)) < calibration_error(labels, shown) / 3


def test_residues_of_which_nothing_is_known_calibrate_nothing() -> None:
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    labels = Labels(
        task="per-residue", targets=("y",), classes=("C", "H"), values=np.array([-1, -1, -1]),
        offsets=np.array([0, 3]),
    )  # fmt: skip
    calibration = fit_temperatures(labels, p)
    assert (calibration.n, calibration.temperatures) == (0, (1.0,))


def test_without_a_calibration_probabilities_stay_as_they_are() -> None:
    p = np.array([[0.9, 0.1]])
    assert Calibration().temper(p) is p


def test_certainty_can_be_tempered() -> None:
    tempered = temper_classes(np.array([[1.0, 0.0, 0.0]]), 5.0)
    assert np.isfinite(tempered).all()
    assert tempered.sum() == pytest.approx(1)


def test_the_calibration_error_of_a_coin_called_certain_is_a_half() -> None:
    labels = codes(np.array([0, 1] * 50), 2)
    assert calibration_error(labels, np.tile([1.0, 0.0], (100, 1))) == pytest.approx(0.5)
    assert calibration_error(labels, np.tile([0.5, 0.5], (100, 1))) == pytest.approx(0)


@pytest.mark.parametrize(("n_such", "n"), [(0, 1), (1, 1), (0, 40), (35, 1234), (1200, 1234), (7, 7)])
def test_the_interval_of_a_share_is_that_of_scipy(n_such: int, n: int) -> None:
    low, high = binomtest(n_such, n).proportion_ci(method="wilson")
    assert share_of(n_such, n) == pytest.approx((n, n_such / n, low, high), abs=1e-12)


@pytest.mark.parametrize("is_ensemble", [False, True])
@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_what_intervals_held_is_counted_at_any_coverage(coverage: float, is_ensemble: bool) -> None:
    rng = np.random.default_rng(0)
    truth, spread = rng.normal(size=(600, 2)), rng.uniform(0.5, 2, size=(600, 2)) * is_ensemble
    truth[rng.random(truth.shape) < 0.1] = np.nan
    truth[300:, 1] *= 4  # the test rows of the second target are unlike those that calibrate
    labels = [
        Labels(task="regression", targets=("a", "b"), classes=(), values=it) for it in np.split(truth, 2)
    ]
    outputs = np.zeros((300, 2))
    calibration = fit_intervals(labels[0], outputs, spread[:300] if is_ensemble else None)
    widths = calibration.half_widths(coverage, spread[300:])
    tested = calibration.tested_on(labels[1], outputs, spread[300:])
    for i, one in enumerate(tested.intervals):
        known = ~np.isnan(truth[300:, i])
        held = one.held(coverage)
        assert held is not None
        inside = np.abs(truth[300:, i][known]) <= widths[known, i]
        assert held[:2] == pytest.approx((known.sum(), inside.mean()))
    a, b = (one.held(coverage) for one in tested.intervals)
    assert a is not None
    assert b is not None
    assert b.high < coverage < a.high


def test_a_promise_counts_rows_not_residues() -> None:
    """The interval, beside one of drawing whole rows again and again."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 60, 200)
    row = np.repeat(np.arange(200), lengths)
    confidence = rng.uniform(0.7, 0.9, 200)[row]  # all residues of a row are right or wrong together, nearly
    is_right = (rng.random(200) < 0.5)[row] ^ (rng.random(len(row)) < 0.1)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    truth = np.where(is_right, 0, 1)
    truth[rng.random(len(row)) < 0.05] = UNKNOWN
    labels = Labels(
        task="per-residue", targets=("y",), classes=("a", "b"), values=truth,
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
    )  # fmt: skip
    found = keep_promise(labels, probabilities)
    assert found is not None
    known = truth != UNKNOWN
    assert (found.n, found.n_rows) == (known.sum(), 200)
    assert (found.right, found.promised) == pytest.approx(
        ((truth[known] == 0).mean(), confidence[known].mean())
    )
    excess = np.bincount(row[known], confidence[known] - (truth[known] == 0), minlength=200)
    n_known = np.bincount(row[known], minlength=200)
    draws = rng.integers(200, size=(4000, 200))
    low, high = np.quantile(excess[draws].sum(1) / n_known[draws].sum(1), [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    assert found.is_false


def test_labels_are_right_where_the_probable_side_is() -> None:
    truth = np.array([[1.0, np.nan], [0.0, 1.0], [0.0, 0.0]])
    labels = Labels(task="multi-label", targets=("a", "b"), classes=(), values=truth)
    found = keep_promise(labels, np.array([[0.9, 0.5], [0.8, 0.6], [0.3, 0.1]]))
    assert found is not None
    assert (found.n, found.n_rows, found.right) == pytest.approx((5, 3, 4 / 5))
    assert found.promised == pytest.approx((0.9 + 0.8 + 0.6 + 0.7 + 0.9) / 5)
    assert keep_promise(labels.take(np.array([0])), np.array([[0.9, 0.5]])) is None
