"""Fixtures of all training tests: small models, proteins made by a rule, and recipes of a few steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from biofm_datasets.sampling import Mixture
from biofm_datasets.store import TokenStore
from torch import Tensor

from biofm.core.progress import RunProgress
from biofm.inference import Compute
from biofm.modalities import STANDARD_RESIDUES, ProteinTokenizer
from biofm.nn import EncoderConfig, MaskedLM, initialise
from biofm.training import PretrainRecipe
from biofm.training.data import PackedData
from biofm.training.fit import fit
from biofm.training.objectives import masked_lm

MakeProteins = Callable[..., list[str]]
MakeModel = Callable[..., MaskedLM]
MakeRecipe = Callable[..., PretrainRecipe]
Train = Callable[..., dict[str, Tensor]]


@pytest.fixture
def make_proteins() -> MakeProteins:
    """Make proteins of random standard residues, the same for the same seed."""

    def make(n: int, *, shortest: int = 31, longest: int = 80, seed: int = 0) -> list[str]:
        rng = np.random.default_rng(seed)
        lengths = rng.integers(shortest, longest + 1, n)
        return ["".join(rng.choice(list(STANDARD_RESIDUES), length)) for length in lengths]

    return make


@pytest.fixture
def make_model() -> MakeModel:
    """Make an untrained model with a few thousand weights."""

    def make(seed: int = 0, **changes: Any) -> MaskedLM:
        config = EncoderConfig(
            vocab_size=len(ProteinTokenizer().vocabulary), d_model=16, n_layers=2, n_heads=2,
            d_feedforward=24, trained_length=64, norm_bias=False, linear_bias=False,
            feedforward="swiglu", qk_norm=True, **changes,
        )  # fmt: skip
        model = MaskedLM(config)
        initialise(model, seed)
        return model

    return make


@pytest.fixture
def make_recipe() -> MakeRecipe:
    def make(**changes: Any) -> PretrainRecipe:
        few = {"n_steps": 8, "tokens_per_batch": 128, "max_length": 64, "n_warmup": 2, "n_held_out": 4}
        return PretrainRecipe(**few | {"checkpoint_every": 3, "log_every": 3} | changes)

    return make


@pytest.fixture
def train(
    make_model: Callable[[], MaskedLM],
    tokenizer: ProteinTokenizer,
    cpu: Compute,
) -> Train:
    """Train a new small model on repeats by a recipe, and return the trained weights by their names."""
    store = TokenStore.of(
        tokenizer.encode(pair * 20) for pair in ("AC", "DE", "FG", "HI", "KL", "MN", "PQ", "RS", "TV", "WY")
    )

    def run(
        recipe: PretrainRecipe,
        folder: Path,
        progress: RunProgress = unwatched,
        dtype: torch.dtype = torch.float32,
    ) -> dict[str, Tensor]:
        folder.mkdir(exist_ok=True)
        model = make_model()
        compute = Compute(cpu.device, dtype, cpu.reason)
        objective = masked_lm(tokenizer, recipe)
        mixture = Mixture([np.arange(8)], None, recipe.seed)
        data = PackedData(store, mixture, np.array([8, 9]), objective, recipe)
        fit(model, objective, data, recipe, compute, folder, progress)
        return {name: weight.clone() for name, weight in model.state_dict().items()}

    return run


def unwatched(stage: str, done: int, total: int, detail: str = "") -> None:
    """Ignore the progress that a run reports."""


@pytest.fixture
def cpu() -> Compute:
    return Compute(torch.device("cpu"), torch.float32, "as the test asks")


@pytest.fixture
def tokenizer() -> ProteinTokenizer:
    return ProteinTokenizer()
