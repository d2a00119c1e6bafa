"""Matrices of the blocks are moved by Muon, the rest by AdamW, and both are one optimiser to whoever asks."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import LambdaLR

from biofm.nn import MaskedLM
from biofm.training import PretrainRecipe
from biofm.training.optimizers import BETAS, EPSILON, Joined, make_optimizer, matrices

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
    """Muon with updates of AdamW's size and decay on the matrices; AdamW without decay on the rest."""
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
