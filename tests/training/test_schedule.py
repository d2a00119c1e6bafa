"""The learning rate rises, stays, and falls to nothing."""

import pytest

from biofm.training.schedule import warmup_stable_decay

N_STEPS, N_WARMUP = 100, 10
FACTORS = [warmup_stable_decay(step, n_steps=N_STEPS, n_warmup=N_WARMUP) for step in range(N_STEPS + 1)]


def test_the_factor_rises_linearly_from_the_first_step_on() -> None:
    assert FACTORS[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])


def test_the_factor_is_one_between_warm_up_and_decay() -> None:
    assert set(FACTORS[9:71]) == {1.0}


def test_the_factor_falls_linearly_to_zero_over_the_last_three_tenths() -> None:
    assert FACTORS[70:] == pytest.approx([(100 - step) / 30 for step in range(70, 101)])


def test_the_flat_part_does_not_depend_on_the_number_of_steps() -> None:
    longer = [warmup_stable_decay(step, n_steps=2 * N_STEPS, n_warmup=N_WARMUP) for step in range(71)]
    assert longer == FACTORS[:71]


@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_even_the_shortest_run_learns_at_every_step(n_steps: int) -> None:
    for step in range(n_steps):
        assert 0 < warmup_stable_decay(step, n_steps=n_steps, n_warmup=0) <= 1


def test_without_warm_up_the_first_step_is_at_the_full_rate() -> None:
    assert warmup_stable_decay(0, n_steps=100, n_warmup=0) == 1
