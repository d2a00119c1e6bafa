"""Recipes of fine-tuning: what they refuse, and that they can be written and read."""

import io
from typing import Any

import pytest

from biofm.core import OptionError
from biofm.core.configuration import configure, to_toml
from biofm.training import FinetuneRecipe

# settings, what the message must say
WRONG: dict[str, tuple[dict[str, Any], list[str]]] = {
    "one fold": ({"n_folds": 1}, ["--folds", "one fold"]),
    "no member": ({"n_members": 0}, ["--members", "at least 1"]),
    "a probe that learns to pool": ({"pool": "attention"}, ["--pool", "--method lora"]),
    "max under gradients": ({"method": "full", "pool": "max"}, ["--pool", "--method probe"]),
    "no step": ({"method": "lora", "n_steps": 0}, ["--steps", "at least 1"]),
    "rank 0": ({"lora_rank": 0}, ["--lora-rank", "at least 1"]),
    "all rows to validate": ({"validation_share": 1.0}, ["validation_share", "between 0 and 1"]),
    "certain coverage": ({"coverage": 1.0}, ["coverage", "between 0 and 1"]),
    "an encoder that runs away": ({"encoder_rate": 3.0}, ["encoder_rate", "at most 1"]),
    "several devices": ({"devices": 2}, ["one device"]),
    "another method": ({"method": "prompt"}, ["--method", "probe or lora or full"]),
    "a fault of every recipe": ({"learning_rate": 0.0}, ["--learning-rate"]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_setting_is_named_with_its_option(wrong: str) -> None:
    settings, message = WRONG[wrong]
    with pytest.raises(OptionError) as caught:
        FinetuneRecipe(**settings)
    for part in message:
        assert part in str(caught.value)


def test_a_recipe_that_was_written_down_is_the_same_when_it_is_read() -> None:
    recipe = FinetuneRecipe(method="lora", pool="attention", n_folds=5, coverage=0.8, lora_rank=4)
    assert configure(FinetuneRecipe, io.BytesIO(to_toml(recipe).encode()), {}) == recipe


@pytest.mark.parametrize(
    ("method", "used", "unused"),
    [
        ("probe", {"seed", "coverage"}, {"n_steps", "learning_rate", "lora_rank", "patience", "n_hidden"}),
        ("lora", {"n_steps", "lora_rank", "n_hidden", "patience"}, {"encoder_rate"}),
        ("full", {"n_steps", "encoder_rate", "n_hidden"}, {"lora_rank", "lora_alpha", "merge_adapters"}),
    ],
)
def test_a_method_names_the_settings_that_it_uses(method: Any, used: set[str], unused: set[str]) -> None:
    found = FinetuneRecipe(method=method).used()
    assert used <= found.keys()
    assert not unused & found.keys()
