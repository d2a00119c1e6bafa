"""The learning rate rises, stays, and falls to nothing."""

from collections.abc import Callable
from math import cos, pi

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup

from biofm.training import PretrainRecipe
from biofm.training.schedule import rate_factor

MakeRecipe = Callable[..., PretrainRecipe]
N_STEPS, N_WARMUP = 100, 10


@pytest.fixture
def factors(make_recipe: MakeRecipe) -> Callable[..., list[float]]:
    """The factor at every step of a hundred and at the step behind them."""

    def compute(**changes: object) -> list[float]:
        recipe = make_recipe(**{"n_steps": N_STEPS, "n_warmup": N_WARMUP} | changes)
        return [rate_factor(recipe, step) for step in range(N_STEPS + 1)]

    return compute


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
def test_the_factor_rises_linearly_from_the_first_step_on(
    schedule: str, factors: Callable[..., list[float]]
) -> None:
    assert factors(schedule=schedule)[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])


def test_the_factor_is_one_between_warm_up_and_decay(factors: Callable[..., list[float]]) -> None:
    assert set(factors()[9:71]) == {1.0}


@pytest.mark.parametrize(("share", "n"), [(0.3, 30), (0.5, 50), (1.0, 100)])
def test_the_factor_falls_linearly_to_zero_over_the_last_share_of_the_steps(
    share: float, n: int, factors: Callable[..., list[float]]
) -> None:
    found = factors(decay_share=share, n_warmup=0)
    assert found[100 - n :] == pytest.approx([(100 - step) / n for step in range(100 - n, 101)])
    assert set(found[: 100 - n]) <= {1.0}


def test_the_flat_part_does_not_depend_on_the_number_of_steps(
    make_recipe: MakeRecipe, factors: Callable[..., list[float]]
) -> None:
    longer = make_recipe(n_steps=2 * N_STEPS, n_warmup=N_WARMUP)
    assert [rate_factor(longer, step) for step in range(71)] == factors()[:71]


def test_the_cosine_falls_from_the_end_of_the_warm_up_to_zero(factors: Callable[..., list[float]]) -> None:
    expected = [(1 + cos(pi * (step - 10) / 90)) / 2 for step in range(10, 101)]
    assert factors(schedule="cosine")[10:] == pytest.approx(expected)


def test_the_cosine_is_that_of_transformers(factors: Callable[..., list[float]]) -> None:
    """Whose warm-up begins with a step of 0, and is left out here; the last step still learns."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    reference = get_cosine_schedule_with_warmup(optimizer, 0, N_STEPS - N_WARMUP)
    expected = []
    for _ in range(N_STEPS - N_WARMUP):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    found = factors(schedule="cosine")
    assert found[N_WARMUP:N_STEPS] == pytest.approx(expected, abs=1e-12)
    assert found[N_STEPS - 1] == pytest.approx(3.0e-4, rel=0.02), "of the peak, in the last step"
    assert found[N_STEPS] == 0


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_even_the_shortest_run_learns_at_every_step(
    n_steps: int, schedule: str, make_recipe: MakeRecipe
) -> None:
    recipe = make_recipe(n_steps=n_steps, n_warmup=0, schedule=schedule)
    assert rate_factor(recipe, 0) == 1
    assert all(0 < rate_factor(recipe, step) <= 1 for step in range(n_steps))
