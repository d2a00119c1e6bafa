"""ESM-2 models of ``transformers`` with random weights, and the same models read as ours."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest
import torch
from transformers import EsmConfig, EsmForMaskedLM

from biofm.models import esm2, files_of, read_checkpoint
from biofm.nn import MaskedLM

Pair = tuple[EsmForMaskedLM, MaskedLM]


@pytest.fixture(scope="session")
def make_pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """A random model of a shape, theirs and ours; every weight is random, norms and biases too."""

    def make(*, d_model: int, n_layers: int, n_heads: int, token_dropout: bool = True) -> Pair:
        config = esm2.config(d_model=d_model, n_layers=n_layers, n_heads=n_heads, token_dropout=token_dropout)
        torch.manual_seed(d_model)
        theirs = EsmForMaskedLM(EsmConfig(**esm2.config_to_transformers(config, with_head=True)))
        for weight in theirs.eval().requires_grad_(False).parameters():
            weight += 0.05 * torch.randn(weight.shape)
        folder = tmp_path_factory.mktemp("esm2")
        theirs.save_pretrained(folder)
        with ExitStack() as stack:
            files = {file.name: stack.enter_context(file.open("rb")) for file in files_of(folder)}
            return theirs, read_checkpoint(files, str(folder)).module

    return make
