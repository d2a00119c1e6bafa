"""A run's folder: what is written there first, and who may go on with it."""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from biofm_datasets.documents import load_json

from biofm.core.configuration import configure, to_toml
from biofm.core.errors import OutputError
from biofm.training.files import written_whole
from biofm.training.recipe import Recipe

RECIPE = "recipe.toml"
RUN = "run.json"
DATA = "data"
MODEL = "model"
EVALUATION = "evaluation.json"
CHECKPOINTS = "checkpoints"

HAD_ENDED = "runs that had ended before, judged and written down once more"

FREE = {
    "n_steps", "checkpoint_every", "log_every", "n_workers", "devices", "n_nodes", "strategy", "wandb",
    "compile", "activation_checkpointing",
}  # fmt: skip
"""What may be another one when a run is resumed: it decides no number of a step."""

REMEDY = "Resume it with the same options and data, or choose a new folder"


def begin_run(folder: Path, recipe: Recipe) -> None:
    """Write down the recipe.

    Raises OutputError: the folder holds a run by another recipe, or files that are of no run.
    """
    file = folder / RECIPE
    if file.exists():
        with file.open("rb") as stream:
            before = configure(type(recipe), stream, {})
        names = (field.name for field in fields(recipe) if field.name not in FREE)
        _refuse([name for name in names if getattr(before, name) != getattr(recipe, name)], folder)
    elif any(not path.name.startswith(".") for path in folder.iterdir()):
        what = "this folder holds files, but no run that could be resumed"
        raise OutputError(what, where=str(folder), remedy="Choose another folder")
    with written_whole(file) as stream:
        stream.write(to_toml(recipe).encode())


def remember(folder: Path, facts: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    """Write down what else decides the run, and what is good to know of it. Raises OutputError where the
    facts were others.
    """
    file = folder / RUN
    if file.exists():
        before = read_json(file)
        _refuse([name for name in facts if before.get(name) != facts[name]], folder)
    write_json(file, {**facts, **notes})


def read_json(path: Path) -> dict[str, Any]:
    """What a file of the run holds. Raises OutputError where it is damaged."""
    with path.open("rb") as stream, damage_named(path):
        content: dict[str, Any] = load_json(stream)
        if not isinstance(content, dict):
            raise ValueError("it holds no names with values")
    return content


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file of a run raises into an OutputError."""
    try:
        yield
    except (ValueError, LookupError, csv.Error) as error:
        what = f"this file of the run is damaged ({error})"
        remedy = "Copy the run's folder again, or begin a new one elsewhere"
        raise OutputError(what, where=str(path), remedy=remedy) from error


def write_json(path: Path, content: object) -> None:
    with written_whole(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def _refuse(differing: list[str], folder: Path) -> None:
    if differing:
        what = f"this folder holds a run with another {', '.join(differing)}"
        raise OutputError(what, where=str(folder), remedy=REMEDY)
