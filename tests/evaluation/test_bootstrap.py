"""Intervals: drawn with replacement, the same for the same seed, and about as wide as they should be."""

import numpy as np
import pytest
from scipy import stats

from biofm.evaluation import bootstrap
from biofm.evaluation.bootstrap import (
    FEWEST_FOR_INTERVAL,
    describe_interval,
    draw_counts,
    estimate,
    say_too_few,
)


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
    assert found.value == 0.5
    assert found.low == pytest.approx(0.025)
    assert found.high == pytest.approx(0.975)


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


def coverage_in_theory(n: int) -> float:
    """How often the interval contains the mean of normal values."""
    return float(2 * stats.t.cdf(stats.norm.ppf(0.975) * np.sqrt((n - 1) / n), n - 1) - 1)


def test_few_rows_are_those_whose_intervals_are_too_narrow() -> None:
    """Intervals of the mean of 5 normal values contain it as rarely as theory says; of 20, nearly 95 %."""
    rng, n_trials = np.random.default_rng(3), 1000
    n_held = 0
    for seed in range(n_trials):
        values = rng.normal(size=5)
        means = np.concatenate([counts @ values / 5 for counts in draw_counts(5, 500, seed)])
        low, high = estimate(values.mean(), means).bounds or (np.nan, np.nan)
        n_held += low <= 0 <= high
    assert n_held / n_trials == pytest.approx(coverage_in_theory(5), abs=0.04)
    assert coverage_in_theory(5) < 0.85
    assert coverage_in_theory(FEWEST_FOR_INTERVAL) > 0.925
    assert coverage_in_theory(FEWEST_FOR_INTERVAL // 2) < 0.91


@pytest.mark.parametrize(
    ("n", "interval", "few"),
    [
        (
            1,
            "1 row, unreliable because over fewer than 20 it is too narrow",
            "1 row is too few to tell whether ",
        ),
        (
            19,
            "19 rows, unreliable because over fewer than 20 it is too narrow",
            "19 rows are too few to tell ",
        ),
        (20, "20 rows", ""),
        (2000, "2,000 rows", ""),
    ],
)
def test_the_number_of_rows_is_said_and_whether_they_are_too_few(n: int, interval: str, few: str) -> None:
    assert describe_interval(n, "row") == f"95 % bootstrap interval over {interval}"
    assert say_too_few(n, "row").startswith(few)
    assert bool(say_too_few(n, "row")) == bool(few)
