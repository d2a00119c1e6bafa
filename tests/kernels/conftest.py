"""Memory that nobody wrote holds NaN, so that a kernel cannot read it unnoticed."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _poisoned_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True, warn_only=True)  # only then is the memory filled
    yield
    torch.use_deterministic_algorithms(False)
