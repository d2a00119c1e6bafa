"""The table of docs/models.md names every model, and its numbers are those of the code."""

import os
import re
from collections.abc import Callable

import pytest
import torch

from biofm.models import HUB_IDS, bundled_models, esm1, esm2, esmc, protein
from biofm.nn import EncoderConfig, MaskedLM
from tests.docs.test_examples import ROOT

PAGE = ROOT / "docs" / "models.md"
SIZE = re.compile(r"^\| `([a-z][\w-]+)` \|(?:[^|\n]+\|){7}$", re.MULTILINE)
WEIGHTS = re.compile(r"^\| `([a-z][\w-]+)` \|(?:[^|\n]+\|){4}$", re.MULTILINE)
N_SPECIAL_TOKENS = 2
Shape = dict[str, int]


def rows_of_page(row: re.Pattern[str]) -> dict[str, list[str]]:
    """Return the cells of each row of a table by the name of the model."""
    text = PAGE.read_text(encoding="utf-8")
    return {
        match[1]: [cell.strip() for cell in match[0].strip("|").split("|")] for match in row.finditer(text)
    }


def config_of(name: str, shape: Shape) -> EncoderConfig:
    """Return the configuration of a model of this name and shape."""
    if name in bundled_models():
        return protein.config(name.removeprefix("protein-"), trained_length=512)
    families: dict[str, Callable[..., EncoderConfig]] = {"esm2": esm2.config, "esmc": esmc.config}
    family = name.split("-")[0]
    if family in families:
        return families[family](**shape)
    esm1_config: Callable[..., EncoderConfig] = esm1.config
    return esm1_config(embedding_norm=name == "esm1b", **shape)


def numbers_of(name: str, shape: Shape) -> dict[int, str]:
    """Return the cells that the code decides, by their column."""
    config = config_of(name, shape)
    with torch.device("meta"):
        module = MaskedLM(config)
    n_parameters = sum(weight.numel() for weight in module.parameters())
    return {
        1: f"{n_parameters:,}",
        2: str(config.n_layers),
        3: str(config.d_model),
        4: str(config.n_heads),
        5: spell_bytes(4 * n_parameters),
        6: spell_bytes(2 * n_parameters),
        7: f"{config.trained_length - N_SPECIAL_TOKENS:,}",
    }


def spell_bytes(n: int) -> str:
    """Return a number of bytes in MB, or from 1 GB on in GB."""
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"


def test_the_page_has_a_row_for_every_model_with_its_hub_id() -> None:
    rows = rows_of_page(WEIGHTS)
    assert set(rows) == set(rows_of_page(SIZE)) == {*bundled_models(), *HUB_IDS}
    assert {name: cells[-1].strip("`") for name, cells in rows.items() if name in HUB_IDS} == HUB_IDS


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    text, wrong = PAGE.read_text(encoding="utf-8"), {}
    for name, cells in rows_of_page(SIZE).items():
        n_layers, width, n_heads = map(int, cells[2:5])
        found = numbers_of(name, {"d_model": width, "n_layers": n_layers, "n_heads": n_heads})
        expected = [found.get(column, cell) for column, cell in enumerate(cells)]
        if expected != cells:
            wrong[name] = expected
            text = text.replace(f"| {' | '.join(cells)} |", f"| {' | '.join(expected)} |")
    if wrong and os.environ.get("BIOFM_SAVE_OUTPUT"):
        PAGE.write_text(text, encoding="utf-8")
    elif wrong:
        pytest.fail(f"run this file with BIOFM_SAVE_OUTPUT=1: {wrong}")
