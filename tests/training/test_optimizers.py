"""Muon updates the matrices of the blocks, AdamW the rest, at a rate that rises, stays and falls."""

from collections.abc import Callable
from copy import deepcopy
from math import cos, pi

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_cosine_schedule_with_warmup

from biofm.nn import MaskedLM
from biofm.training import PretrainRecipe
from biofm.training.optimizers import BETAS, EPSILON, Joined, make_optimizer, matrices, rate_factor

MakeModel = Callable[[], MaskedLM]
MakeRecipe = Callable[..., PretrainRecipe]


def give_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, n: int, first: int = 0) -> None:
    for seed in range(first, first + n):
        give_gradients(model, seed)
        optimizer.step()


def weights_of(model: nn.Module) -> list[Tensor]:
    return [weight.detach().clone() for weight in model.parameters()]


def are_equal(first: nn.Module, second: nn.Module) -> bool:
    return all(map(torch.equal, weights_of(first), weights_of(second)))


def test_the_matrices_are_the_linear_weights_of_the_blocks(make_model: MakeModel) -> None:
    model = make_model()
    found = {id(weight) for weight in matrices(model)}
    names = [name for name, weight in model.named_parameters() if id(weight) in found]
    parts = ("attention.qkv", "attention.out", "feedforward.gate_up", "feedforward.down")
    assert names == [f"encoder.blocks.{layer}.{part}.weight" for layer in range(2) for part in parts]


def test_each_weight_goes_where_torchs_own_optimiser_moves_it(
    make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    """Muon, with updates of AdamW's size and decay, updates the matrices; AdamW without decay the rest."""
    model, alone = make_model(), make_model()
    recipe = make_recipe(learning_rate=0.01, weight_decay=0.2)
    step(model, make_optimizer(model, recipe), 3)

    is_matrix = {id(weight) for weight in matrices(alone)}
    muon = Muon(list(matrices(alone)), lr=0.01, weight_decay=0.2, adjust_lr_fn="match_rms_adamw")
    others = [weight for weight in alone.parameters() if id(weight) not in is_matrix]
    adamw = AdamW(others, lr=0.01, betas=BETAS, eps=EPSILON, weight_decay=0.0)
    for seed in range(3):
        give_gradients(alone, seed)
        muon.step()
        adamw.step()
    assert are_equal(model, alone)


def test_with_adamw_alone_only_the_matrices_decay(make_model: MakeModel, make_recipe: MakeRecipe) -> None:
    model = make_model()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = make_optimizer(model, make_recipe(optimizer="adamw", learning_rate=0.01, weight_decay=0.5))
    assert isinstance(optimizer, AdamW)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    is_matrix = {id(weight) for weight in matrices(model)}
    for name, weight in model.named_parameters():
        factor = 1 - 0.01 * 0.5 if id(weight) in is_matrix else 1.0
        torch.testing.assert_close(weight.detach(), before[name] * factor)


def test_the_encoder_learns_at_its_share_of_the_rate(make_model: MakeModel, make_recipe: MakeRecipe) -> None:
    model = make_model()
    optimizer = make_optimizer(model, make_recipe(learning_rate=0.01, encoder_rate=0.1))
    rates = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    for name, weight in model.named_parameters():
        assert rates[id(weight)] == pytest.approx(0.001 if name.startswith("encoder.") else 0.01)


def test_weights_that_do_not_learn_are_left_out(make_model: MakeModel, make_recipe: MakeRecipe) -> None:
    model = make_model()
    model.requires_grad_(False)
    assert model.head is not None
    model.head.requires_grad_()
    optimizer = make_optimizer(model, make_recipe())
    assert isinstance(optimizer, AdamW)  # no matrix is left for Muon
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    assert held == {id(weight) for weight in model.head.parameters()}


def test_a_schedule_moves_the_rates_of_both_parts(make_model: MakeModel, make_recipe: MakeRecipe) -> None:
    model = make_model()
    optimizer = make_optimizer(model, make_recipe(learning_rate=0.1))
    assert isinstance(optimizer, Joined)
    schedule = LambdaLR(optimizer, lambda step: 0.0 if step else 0.5)
    assert {group["lr"] for part in optimizer.parts for group in part.param_groups} == {0.05}
    give_gradients(model, 0)
    optimizer.step()
    schedule.step()
    before = weights_of(model)
    optimizer.step()
    assert all(map(torch.equal, before, weights_of(model)))


def test_a_closure_is_called_once_and_its_loss_returned(
    make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    model = make_model()
    calls = []

    def closure() -> float:
        assert torch.is_grad_enabled()
        calls.append(1)
        give_gradients(model, 0)
        return 2.5

    assert make_optimizer(model, make_recipe()).step(closure) == 2.5
    assert calls == [1]


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_restored_optimiser_goes_on_to_the_bit(
    name: str, make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    model, restored = make_model(), make_model()
    recipe = make_recipe(optimizer=name)
    optimizer = make_optimizer(model, recipe)
    step(model, optimizer, 2)
    restored.load_state_dict(model.state_dict())
    again = make_optimizer(restored, make_recipe(optimizer=name, learning_rate=0.5, weight_decay=0.5))
    again.load_state_dict(deepcopy(optimizer.state_dict()))
    step(model, optimizer, 2, first=2)
    step(restored, again, 2, first=2)
    assert are_equal(model, restored)


def test_the_state_is_laid_out_as_that_of_any_optimiser(
    make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    model = make_model()
    optimizer = make_optimizer(model, make_recipe())
    step(model, optimizer, 1)
    state = optimizer.state_dict()
    n_weights = len(list(model.parameters()))
    assert sorted(number for group in state["param_groups"] for number in group["params"]) == [
        *range(n_weights)
    ]
    assert set(state["state"]) == set(range(n_weights))
    assert {"momentum_buffer"} == set(state["state"][0])
    assert {"step", "exp_avg", "exp_avg_sq"} == set(state["state"][n_weights - 1])


N_STEPS, N_WARMUP = 100, 10


@pytest.fixture
def factors(make_recipe: MakeRecipe) -> Callable[..., list[float]]:
    """Return the factor at every step of a hundred and at the step after them."""

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
    """Its warm-up begins with a step of 0, which is left out here; the last step still learns."""
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
