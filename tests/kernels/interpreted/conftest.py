"""For kernels in Triton's interpreter, which reads and writes real memory wherever it is told to: inputs and
outputs lie between rows of NaN. And how far numbers may be from those of float64.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

FRAME = 130  # rows: more than the largest block, so that no block reaches over it

# Norm of the difference, relative to the norm of what float64 gives for the same, already rounded, inputs.
# Float32 carries 24 bits, float16 11 and bfloat16 8, so that its rounding is off by 2^-9 at most; a gradient
# passes four roundings (of the weights, of their gradient, of the output, of itself).
LIMITS = {torch.float32: 2e-6, torch.float16: 1e-3, torch.bfloat16: 6e-3}


def relative_error(found: Tensor, exact: Tensor) -> float:
    """Return the relative error; it is NaN, which passes no limit, if ``found`` holds a NaN."""
    assert found.shape == exact.shape
    return float((found.double() - exact).norm() / exact.norm().clamp(min=torch.finfo(exact.dtype).tiny))


def framed(x: Tensor) -> Tensor:
    """Return a copy of ``x`` between rows of NaN, or of -1 if it holds integers, which are indices."""
    view = _buffer(x.shape, x.dtype)[FRAME : FRAME + len(x)]
    return view.copy_(x)


def every_other(x: Tensor) -> Tensor:
    """Return a view with the numbers of ``x`` whose neighbours in memory lie two places apart."""
    return torch.stack((x, torch.ones_like(x)), -1)[..., 0]


def _buffer(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    filling = float("nan") if dtype.is_floating_point else -1
    return torch.full((shape[0] + 2 * FRAME, *shape[1:]), filling, dtype=dtype)


@pytest.fixture(autouse=True)
def _framed_outputs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let ``torch.empty`` give NaN between rows of NaN, and check that no kernel writes to those rows."""
    buffers: list[tuple[Tensor, int]] = []
    plain_empty = torch.empty

    def empty(*size: Any, **options: Any) -> Tensor:
        dtype = options.get("dtype") or torch.float32
        shape = plain_empty(*size, device="meta").shape
        if not shape or not dtype.is_floating_point:
            return plain_empty(*size, **options)
        buffer = _buffer(shape, dtype)
        buffers.append((buffer, shape[0]))
        return buffer[FRAME : FRAME + shape[0]]

    monkeypatch.setattr(torch, "empty", empty)
    yield
    for buffer, n_rows in buffers:
        assert buffer[:FRAME].isnan().all(), "written before the output's first row"
        assert buffer[FRAME + n_rows :].isnan().all(), "written behind the output's last row"
