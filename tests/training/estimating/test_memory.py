"""Memory of a step: it is counted, grows with the tokens, and limits the size of a batch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from torch import Tensor

from biofm.inference import Compute
from biofm.modalities import ProteinTokenizer
from biofm.nn import MaskedLM
from biofm.training import PretrainRecipe
from biofm.training.data import PackedData
from biofm.training.estimating import StepMemory, Trial, measure_step
from biofm.training.estimating.memory import CODE_BYTES, optimizer_bytes
from biofm.training.objectives import Objective, masked_lm
from biofm.training.optimizers import make_optimizer

MakeModel = Callable[..., MaskedLM]
MakeRecipe = Callable[..., PretrainRecipe]
MakeData = Callable[[PretrainRecipe], tuple[Objective, PackedData]]

MEMORY = StepMemory(
    weights=100, gradients=100, optimiser=150, averages=100, checkpoint=350, code=1000, batch_bytes=200,
    token_bytes=10.0, held_bytes=2.5,
)  # fmt: skip


@pytest.fixture
def make_data(make_proteins: Callable[..., list[str]], tokenizer: ProteinTokenizer) -> MakeData:
    def make(recipe: PretrainRecipe) -> tuple[Objective, PackedData]:
        store = TokenStore.of(tokenizer.encode(protein) for protein in make_proteins(40))
        objective, members = masked_lm(tokenizer, recipe), np.arange(40)
        return objective, PackedData(store, Mixture([members], None, 0), members[:0], objective, recipe)

    return make


@pytest.fixture
def measure(make_model: MakeModel, make_data: MakeData, cpu: Compute) -> Callable[..., StepMemory]:
    """Measure a step of a model with eight blocks by a recipe with these settings."""

    def measure(recipe: PretrainRecipe, change: Callable[[MaskedLM], Any] = lambda model: None) -> StepMemory:
        model = make_model()
        change(model)
        return measure_step(model, *make_data(recipe), recipe, cpu)

    return measure


def test_weights_gradients_and_moments_are_counted(
    measure: Callable[..., StepMemory], make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    found = measure(make_recipe(ema_decay=0.9))
    model = make_model()
    n_bytes = 4 * sum(weight.numel() for weight in model.parameters())
    of_matrices = 4 * sum(weight.numel() for weight in model.encoder.blocks.parameters() if weight.ndim == 2)
    assert (found.weights, found.gradients, found.averages) == (n_bytes, n_bytes, n_bytes)
    assert found.optimiser == 2 * (n_bytes - of_matrices) + of_matrices
    assert found.checkpoint == found.weights + found.optimiser + found.averages
    assert found.code == CODE_BYTES


def test_what_does_not_learn_has_neither_gradients_nor_moments(
    measure: Callable[..., StepMemory], make_recipe: MakeRecipe
) -> None:
    whole = measure(make_recipe())
    part = measure(make_recipe(), lambda model: model.encoder.requires_grad_(False))
    assert part.weights == whole.weights
    assert part.gradients < whole.gradients / 4
    assert part.optimiser < whole.optimiser / 4
    assert part.token_bytes < whole.token_bytes / 4


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_the_moments_are_those_of_the_optimiser_after_a_step(
    optimizer: str, make_model: MakeModel, make_recipe: MakeRecipe
) -> None:
    model, recipe = make_model(), make_recipe(optimizer=optimizer)
    for weight in model.parameters():
        weight.grad = torch.ones_like(weight)
    made = make_optimizer(model, recipe)
    made.step()
    state = [value for values in made.state.values() for value in values.values()]
    held = sum(value.nbytes for value in state if isinstance(value, Tensor) and value.numel() > 1)
    singles = sum(2 * weight.nbytes for weight in model.parameters() if weight.numel() == 1)
    assert optimizer_bytes(model, recipe) == held + singles


def test_blocks_that_are_computed_again_keep_less(
    measure: Callable[..., StepMemory], make_recipe: MakeRecipe
) -> None:
    kept, again = (measure(make_recipe(activation_checkpointing=on)) for on in (False, True))
    assert again.weights == kept.weights
    assert again.token_bytes < 0.75 * kept.token_bytes  # of two blocks, one and what goes into the other


def test_measuring_leaves_the_model_as_it_is(
    make_model: MakeModel, make_data: MakeData, make_recipe: MakeRecipe, cpu: Compute
) -> None:
    model, recipe = make_model().eval(), make_recipe(activation_checkpointing=True)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    measure_step(model, *make_data(recipe), recipe, cpu)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert not model.training
    assert all(weight.grad is None for weight in model.parameters())
    assert all("forward" not in vars(block) for block in model.encoder.blocks)


def test_the_parts_of_a_step_are_those_of_its_batch() -> None:
    parts = MEMORY.parts(100)
    assert (parts["activations"], parts["allocator"], parts["code"]) == (1200, 250, 1000)
    assert MEMORY.total(100) == sum(parts.values()) == 3250


@pytest.mark.parametrize("room", [0, 1999, 15_000, 20_000, 300_000])
def test_the_largest_batch_is_the_last_that_fits_nine_tenths_of_the_room(room: int) -> None:
    found = MEMORY.largest_batch(room)
    assert found % 1024 == 0
    assert found == 0 or MEMORY.total(found) <= 0.9 * room
    assert MEMORY.total(found + 1024) > 0.9 * room


def test_what_the_allocator_was_found_to_hold_grows_with_the_tokens() -> None:
    memory = replace(MEMORY, code=0)
    trial = Trial(
        n_tokens=0, seconds=0.0, update_seconds=0.0, used_bytes=5000 + 350 + 1200 + 400, largest_batch=100
    )
    tried = memory.as_tried(trial, used_before=5000)
    assert tried.held_bytes == pytest.approx(1.5 * 400 / 100)
    assert tried.parts(100) == memory.parts(100) | {"allocator": 600}


def test_an_allocator_that_holds_nothing_more_holds_nothing() -> None:
    trial = Trial(n_tokens=0, seconds=0.0, update_seconds=0.0, used_bytes=0, largest_batch=100)
    assert MEMORY.as_tried(trial, used_before=5000).held_bytes == 0


@pytest.mark.parametrize(
    ("strategy", "n_processes", "changes"),
    [
        ("auto", 1, {}),
        ("auto", 4, {"gradients": 200}),
        ("ddp", 2, {"gradients": 200}),
        ("fsdp", 2, {"weights": 50, "gradients": 50, "optimiser": 75, "checkpoint": 175}),
    ],
)
def test_processes_share_or_repeat_what_belongs_to_weights(
    strategy: Literal["auto", "ddp", "fsdp"], n_processes: int, changes: dict[str, int]
) -> None:
    assert MEMORY.spread(strategy, n_processes) == replace(MEMORY, **changes)
