"""Models of ``transformers`` with random weights, and the same models read as ours."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from transformers import EsmcConfig, EsmcForMaskedLM, EsmConfig, EsmForMaskedLM, PreTrainedModel

from biofm.models import esm1, esm2, esmc, files_of, read_checkpoint
from biofm.nn import MaskedLM

Pair = tuple[PreTrainedModel, MaskedLM]

FAMILIES = {
    "ESM-1": (esm1, EsmForMaskedLM, EsmConfig),
    "ESM-2": (esm2, EsmForMaskedLM, EsmConfig),
    "ESM C": (esmc, EsmcForMaskedLM, EsmcConfig),
}


@pytest.fixture(scope="session")
def make_pair(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pair]:
    """A random model of a family, theirs and ours; every weight is random, norms and biases too."""

    def make(family: str, **shape: Any) -> Pair:
        module, theirs_class, config_class = FAMILIES[family]
        with torch.device("meta"):
            settings = module.to_settings(MaskedLM(module.config(**shape)))
        torch.manual_seed(shape["d_model"])
        theirs = theirs_class(config_class(**settings))
        for weight in theirs.eval().requires_grad_(False).parameters():
            weight += 0.05 * torch.randn(weight.shape)
        folder = tmp_path_factory.mktemp("original")
        theirs.save_pretrained(folder)
        with ExitStack() as stack:
            files = {file.name: stack.enter_context(file.open("rb")) for file in files_of(folder)}
            return theirs, read_checkpoint(files, str(folder)).module

    return make
