"""Intervals: drawn with replacement, the same for the same seed, and about as wide as they should be."""

import numpy as np
import pytest
from scipy import stats

from biofm.evaluation import bootstrap
from biofm.evaluation.bootstrap import draw_counts, estimate


def test_every_resample_draws_as_many_rows_as_there_are() -> None:
    counts = np.concatenate(list(draw_counts(50, 200, seed=1)))
    assert counts.shape == (200, 50)
    assert set(counts.sum(1)) == {50.0}
    assert counts.max() > 1
    assert abs((counts == 0).mean() - np.exp(-1)) < 0.02  # a row is left out with probability 1/e


def test_resamples_depend_on_the_seed_and_not_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(draw_counts(30, 100, seed=1)))
    monkeypatch.setattr(bootstrap, "CELLS_AT_ONCE", 70)
    blocks = list(draw_counts(30, 100, seed=1))
    assert len(blocks) == 50
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert not np.array_equal(np.concatenate(list(draw_counts(30, 100, seed=2))), whole)


def test_the_interval_is_the_middle_95_percent() -> None:
    found = estimate(0.5, np.linspace(0, 1, 1001))
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(0.025), pytest.approx(0.975))


def test_undefined_resamples_are_left_out_and_with_too_many_there_is_no_interval() -> None:
    assert estimate(0.5, np.array([np.nan, 0.4, 0.4])).low == pytest.approx(0.4)
    assert estimate(0.5, np.array([np.nan, np.nan, 0.4])).low is None
    assert estimate(0.5, np.empty(0)).low is None
    assert estimate(np.nan, np.ones(9)).value is None


def test_the_interval_of_a_mean_is_as_wide_as_theory_says() -> None:
    values = np.random.default_rng(5).normal(size=400)
    means = np.concatenate([counts @ values / 400 for counts in draw_counts(400, 4000, seed=0)])
    found = estimate(values.mean(), means)
    assert found.low is not None
    assert found.high is not None
    half_width = stats.norm.ppf(0.975) * values.std() / np.sqrt(400)
    assert (found.high - found.low) / 2 == pytest.approx(half_width, rel=0.05)
