"""Memory that nobody wrote holds NaN, so that a kernel cannot read it unnoticed. And what needs a GPU."""

import os
from collections.abc import Iterator

import pytest
import torch
from biofm_kernels import backend
from torch import Tensor

HAS_CUDA = torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
NEEDS_CUDA = pytest.mark.skipif(not HAS_CUDA, reason="kernels need a CUDA GPU of compute capability 8.0")

# Triton decides at its import whether kernels are compiled or interpreted. So these tests have a process of
# their own, which ``test_interpreter.py`` starts.
collect_ignore = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted"]


def boundaries(lengths: list[int]) -> Tensor:
    """Where sequences of these lengths begin and end in a packed batch, as the operations take it."""
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


@pytest.fixture(autouse=True)
def _poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True, warn_only=True)  # only then is the memory filled
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NEEDS_CUDA)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where operations on rows run: on the CPU by the reference, on a GPU by the kernel and nothing else."""
    name: str = request.param
    with backend("triton" if name == "cuda" else "reference"):
        yield name
