"""The table of docs/models.md names every model, and its numbers are those of the code."""

import os
import re

import pytest
import torch

import biofm
from biofm.models import HUB_IDS, bundled_models, esm1, esm2, esmc
from biofm.nn import EncoderConfig, MaskedLM
from tests.docs.pages import ROOT
from tests.models.test_sizes import PUBLISHED, PUBLISHED_ESM1, PUBLISHED_ESMC

PAGE = ROOT / "docs" / "models.md"
SIZE = re.compile(r"^\| `([a-z][\w-]+)` \|(?:[^|\n]+\|){7}$", re.MULTILINE)
WEIGHTS = re.compile(r"^\| `([a-z][\w-]+)` \|(?:[^|\n]+\|){4}$", re.MULTILINE)
N_SPECIAL_TOKENS = 2


def rows_of_page(row: re.Pattern[str]) -> dict[str, list[str]]:
    """Return the cells of each row of a table by the name of the model."""
    text = PAGE.read_text(encoding="utf-8")
    return {
        match[1]: [cell.strip() for cell in match[0].strip("|").split("|")] for match in row.finditer(text)
    }


def published_config(name: str) -> EncoderConfig:
    """Return the configuration of a published model: its family's, in the shape that its paper gives."""
    if name in PUBLISHED:
        n_layers, width, n_heads, _ = PUBLISHED[name]
        return esm2.config(d_model=width, n_layers=n_layers, n_heads=n_heads)
    if name in PUBLISHED_ESMC:
        n_layers, width, n_heads, _ = PUBLISHED_ESMC[name]
        return esmc.config(d_model=width, n_layers=n_layers, n_heads=n_heads)
    n_layers, width, n_heads, _ = PUBLISHED_ESM1[name]
    return esm1.config(d_model=width, n_layers=n_layers, n_heads=n_heads, embedding_norm=name == "esm1b")


def config_of(name: str) -> EncoderConfig:
    """Return the configuration of a model; that of a bundled one is read from its files."""
    return biofm.load(name).checkpoint.module.config if name in bundled_models() else published_config(name)


def numbers_of(name: str) -> list[str]:
    """Return the row of a model."""
    config = config_of(name)
    with torch.device("meta"):
        module = MaskedLM(config)
    n_parameters = sum(weight.numel() for weight in module.parameters())
    return [
        f"`{name}`",
        f"{n_parameters:,}",
        str(config.n_layers),
        str(config.d_model),
        str(config.n_heads),
        spell_bytes(4 * n_parameters),
        spell_bytes(2 * n_parameters),
        f"{config.trained_length - N_SPECIAL_TOKENS:,}",
    ]


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
        expected = numbers_of(name)
        if expected != cells:
            wrong[name] = expected
            text = text.replace(f"| {' | '.join(cells)} |", f"| {' | '.join(expected)} |")
    if wrong and os.environ.get("BIOFM_SAVE_OUTPUT"):
        PAGE.write_text(text, encoding="utf-8")
    elif wrong:
        pytest.fail(f"run this file with BIOFM_SAVE_OUTPUT=1: {wrong}")
