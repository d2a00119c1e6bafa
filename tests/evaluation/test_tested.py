"""What promises were worth, beside scipy, numpy and the bootstrap."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from biofm.evaluation.calibration import fit_intervals
from biofm.evaluation.supervised import UNKNOWN, Labels
from biofm.evaluation.tested import keep_promise, share_of

Floats = NDArray[np.float64]


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
