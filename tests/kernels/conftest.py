"""Memory that nobody wrote holds NaN, so that a kernel cannot read it unnoticed."""

import os
from collections.abc import Iterator

import pytest
import torch

# Triton decides at its import whether kernels are compiled or interpreted. So these tests have a process of
# their own, which ``test_interpreter.py`` starts.
collect_ignore = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["interpreted"]


@pytest.fixture(autouse=True)
def _poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True, warn_only=True)  # only then is the memory filled
    yield
    torch.use_deterministic_algorithms(False)
