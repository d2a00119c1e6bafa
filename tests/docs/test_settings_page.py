"""The page of settings names every setting of a recipe, with its option if it has one, and no other."""

import re
from dataclasses import fields

import pytest

from biofm.training import FinetuneRecipe, PretrainRecipe
from biofm.training.recipe import Recipe
from tests.docs.pages import ROOT

TEXT = (ROOT / "docs" / "how-to" / "settings.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|([^|]*)\|[^|]+\|$", re.MULTILINE)
SHARED = {field.name for field in fields(Recipe)}


def settings_of(heading: str) -> dict[str, str]:
    """Return the settings below a heading, each with the option that the page gives it."""
    section = re.split(r"^## ", TEXT.split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]
    rows = ROW.findall(section)
    return {name.strip("`"): option for names, option in rows for name in names.split(", ")}


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Settings of every training", SHARED),
        ("Settings of pretraining", {field.name for field in fields(PretrainRecipe)} - SHARED),
        ("Settings of fine-tuning", {field.name for field in fields(FinetuneRecipe)} - SHARED),
    ],
)
def test_every_setting_has_a_row_with_its_option(heading: str, expected: set[str]) -> None:
    found = settings_of(heading)
    assert set(found) == expected
    options = {**FinetuneRecipe.OPTIONS, **PretrainRecipe.OPTIONS}
    words = {name: re.findall(r"`(--[a-z-]+)`", option) for name, option in found.items()}
    assert words == {name: [options[name]] if name in options else [] for name in expected}
