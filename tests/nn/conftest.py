"""One small configuration for each row of the table of families, and encoders with every part at work."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from biofm.nn import EncoderConfig, MaskedLM, initialise

VOCAB_SIZE = 11
MASK = 10
LENGTHS = [7, 1, 12, 12, 3, 12, 40]

LEARNED = {"positions": "learned", "n_positions": 64}
BARE = {"norm_bias": False, "linear_bias": False, "feedforward": "swiglu", "qk_norm": True}
POST = {"norm_order": "post", "final_norm": False}
FAMILIES: dict[str, dict[str, Any]] = {
    "ESM-2": {"mask_token": MASK},
    "ESM-1b": {**LEARNED, "embedding_norm": True, "mask_token": MASK},
    "ESM C": {**BARE, "block_norm_bias": True, "residual_scale": 1.7, "tied_head": False},
    "Nucleotide Transformer v1": LEARNED,
    "Nucleotide Transformer v2": {"feedforward": "swiglu"},
    "Geneformer": {**LEARNED, **POST, "embedding_norm": True, "feedforward": "relu"},
    "scGPT": {**POST, "positions": "none", "feedforward": "relu"},
    "SMILES": {**LEARNED, **POST, "embedding_norm": True, "n_positions": 66, "position_offset": 2},
    "biofm": BARE,
    "biofm, causal": {**BARE, "causal": True},
}

MakeConfig = Callable[..., EncoderConfig]
MakeModel = Callable[..., MaskedLM]


@pytest.fixture(params=list(FAMILIES.values()), ids=list(FAMILIES))
def family(request: pytest.FixtureRequest, make_config: MakeConfig) -> EncoderConfig:
    return make_config(**request.param)


WITH_CONTACTS = {
    name: fields
    for name, fields in FAMILIES.items()
    if fields.get("norm_order") != "post" and not fields.get("causal")
}


@pytest.fixture(params=list(WITH_CONTACTS.values()), ids=list(WITH_CONTACTS))
def with_contacts(request: pytest.FixtureRequest, make_config: MakeConfig) -> EncoderConfig:
    """The families that a contact head can stand on: none was ever trained on a post-norm encoder, and a
    causal one looks back alone.
    """
    return make_config(**request.param)


@pytest.fixture
def make_config() -> MakeConfig:
    """Return what makes a configuration of three layers with two heads of 12; any field may be given."""

    def make(**fields: Any) -> EncoderConfig:
        shape = {"vocab_size": VOCAB_SIZE, "d_model": 24, "n_layers": 3, "n_heads": 2}
        return EncoderConfig(**{**shape, "d_feedforward": 40, "trained_length": 64, **fields})

    return make


@pytest.fixture
def make_model() -> MakeModel:
    """A model whose biases and norms are random too, so that none is the identity."""

    def make(config: EncoderConfig) -> MaskedLM:
        model = MaskedLM(config)
        initialise(model, seed=1)
        for weight in model.parameters():
            weight.data += 0.2 * torch.randn(weight.shape)
        return model.eval().requires_grad_(False)

    return make


@pytest.fixture
def sequences() -> list[Tensor]:
    """Token sequences, some of equal length, a third of the tokens masked in some of them."""
    made = [torch.randint(0, MASK, (length,)) for length in LENGTHS]
    for tokens in made[2::2]:
        tokens[::3] = MASK
    return made
