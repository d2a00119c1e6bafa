"""Checkpoints for another strategy: one file, of processes that hold the whole model each; a folder of
parts, of those that hold a part each.
"""

from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from biofm.training.optimizers import make_optimizer
from biofm.training.parts import as_data, read_parts, read_rest
from biofm.training.recipe import Recipe


def as_read(path: Path, model: nn.Module, recipe: Recipe) -> Path:
    """The checkpoint at ``path``, or a copy beside it in the form that the recipe's strategy reads; the copy
    goes with the next checkpoint that is saved there.
    """
    if path.is_dir() == (recipe.strategy == "fsdp"):
        return path
    copy = path.with_name(f".{path.name}.converted")
    with as_data(path):
        content = _joined(path) if path.is_dir() else _named(path, model, recipe)
    torch.save(content, copy)
    return copy


def _joined(path: Path) -> dict[str, Any]:
    """Of a folder of parts, in which the optimiser's states have the names of their weights: numbers in the
    order of its groups.
    """
    parts = read_parts(path)
    optimizer = parts["optimizer_0"]
    names = chain.from_iterable(group["params"] for group in optimizer["param_groups"])
    numbers = {name: number for number, name in enumerate(names)}
    return read_rest(path) | {
        "state_dict": parts["state_dict"],
        "optimizer_states": [_renamed(optimizer, numbers)],
    }


def _named(path: Path, model: nn.Module, recipe: Recipe) -> dict[str, Any]:
    """The other way round. Lightning would take the numbers for those of the model's weights in its order."""
    names = {id(weight): f"model.{name}" for name, weight in model.named_parameters()}
    groups = make_optimizer(model, recipe).param_groups
    weights = chain.from_iterable(group["params"] for group in groups)
    by_number = {number: names[id(weight)] for number, weight in enumerate(weights)}
    content = read_rest(path)
    return content | {"optimizer_states": [_renamed(content["optimizer_states"][0], by_number)]}


def _renamed(optimizer: dict[str, Any], names: dict[Any, Any]) -> dict[str, Any]:
    return {
        "state": {names[weight]: state for weight, state in optimizer["state"].items()},
        "param_groups": [
            group | {"params": [names[weight] for weight in group["params"]]}
            for group in optimizer["param_groups"]
        ],
    }
