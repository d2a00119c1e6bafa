"""Random ESM Cs of the package ``esm``, and clients of ours that read the weights which the package writes.

The package asks for another ``transformers`` than the other tests, so these run in an environment apart.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:  # absent from the main environment, where this file is read all the same
    from esm.models import esmc

    from biofm.esm import ESMC

    Pair = tuple[esmc.ESMC, ESMC]

D_HEAD = 64  # of every ESM C
MAKE = "make test-esm runs these, with esm 3.2 on Python 3.11, and make test-esm-newest, with esm 3.4 on 3.12"


class AbsentModule(pytest.Module):
    """A file of tests where the package is not installed."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:  # type: ignore[override]
        pytest.skip(f"the package esm is not installed here: {MAKE}")


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if find_spec("esm") is None:
        return AbsentModule.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="session")
def write_pth(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple["esmc.ESMC", Path]]:
    """A random model of a shape, every weight random, norms and biases too; and the file of its weights."""
    from esm.models import esmc
    from esm.tokenization import get_esmc_model_tokenizers

    def write(*, d_model: int, n_layers: int) -> tuple[esmc.ESMC, Path]:
        torch.manual_seed(d_model)
        tokenizer = get_esmc_model_tokenizers()
        model = esmc.ESMC(d_model, d_model // D_HEAD, n_layers, tokenizer).eval().requires_grad_(False)
        for weight in model.parameters():
            weight += 0.05 * torch.randn(weight.shape)
        path = tmp_path_factory.mktemp("esmc") / "esmc_random.pth"
        torch.save(model.state_dict(), path)
        return model, path

    return write


@pytest.fixture(scope="session")
def make_pair(write_pth: Callable[..., tuple["esmc.ESMC", Path]]) -> Callable[..., "Pair"]:
    """A random model of a shape, theirs and ours."""
    from biofm.esm import ESMC

    def make(**shape: int) -> "Pair":
        theirs, path = write_pth(**shape)
        return theirs, ESMC.from_pretrained(path, device="cpu")

    return make
