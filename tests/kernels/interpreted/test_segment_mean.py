"""The kernels of means of sequences against the reference in float64."""

import pytest
import torch
from biofm_kernels.segment_mean import kernels, reference
from torch import Tensor

from tests.kernels.interpreted.conftest import LIMITS, every_other, framed, relative_error

LENGTHS = {
    "few rows": [1, 2, 5],
    "mixed": [1, 63, 111],
    "a thousand": [1000],
    "empty sequences": [0, 32, 0, 0, 33, 0],
    "no row": [0, 0],
    "no sequence": [],
}


def boundaries(lengths: list[int]) -> Tensor:
    return framed(torch.tensor([0, *lengths]).cumsum(0).to(torch.int32))


def make_columns(n_rows: int, width: int, dtype: torch.dtype) -> Tensor:
    """Columns of a wider matrix, the others and the rows around being NaN."""
    wide = torch.full((n_rows, width + 7), torch.nan)
    wide[:, 3 : 3 + width] = torch.randn(n_rows, width)
    return framed(wide.to(dtype))[:, 3 : 3 + width]


def check(lengths: list[int], width: int, dtype: torch.dtype, weighted: bool) -> None:
    n_rows, cu_seqlens = sum(lengths), boundaries(lengths)
    x, d_means = make_columns(n_rows, width, dtype), make_columns(len(lengths), width, dtype)
    weights = framed(torch.rand(n_rows) + 0.5) if weighted else None
    means, totals = kernels.forward(x, cu_seqlens, weights)
    of_weights = (x, means) if weighted else (None, None)
    found = kernels.backward(d_means, cu_seqlens, n_rows, weights, totals, *of_weights)
    assert means.dtype == found[0].dtype == dtype

    x, d_means = x.double(), d_means.double()
    weights = None if weights is None else weights.double()
    exact_means, exact_totals = reference.forward(x, cu_seqlens, weights)
    of_weights = (x, exact_means) if weighted else (None, None)
    exact = reference.backward(d_means, cu_seqlens, n_rows, weights, exact_totals, *of_weights)
    pairs = zip((means, totals, *found), (exact_means, exact_totals, *exact), strict=True)
    for computed, expected in pairs:
        assert (computed is None) == (expected is None)
        if computed is not None and expected is not None:
            assert relative_error(computed, expected) < LIMITS[dtype]


@pytest.mark.parametrize("weighted", [False, True], ids=["not weighted", "weighted"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_every_batch_agrees_with_the_reference(lengths: list[int], weighted: bool) -> None:
    check(lengths, 20, torch.float32, weighted)


@pytest.mark.parametrize("weighted", [False, True], ids=["not weighted", "weighted"])
@pytest.mark.parametrize("width", [15 * 64, 20 * 24, 4 * 80, 1])
@pytest.mark.parametrize("dtype", LIMITS, ids=str)
def test_every_width_and_dtype_agrees_with_the_reference(
    width: int, dtype: torch.dtype, weighted: bool
) -> None:
    check([5, 0, 40], width, dtype, weighted)


@pytest.mark.parametrize("weighted", [False, True], ids=["not weighted", "weighted"])
def test_boundaries_and_weights_may_be_views(weighted: bool) -> None:
    lengths, x, d_means = [2, 0, 7], torch.randn(9, 8), torch.randn(3, 8)
    cu_seqlens, weights = boundaries(lengths), torch.rand(9) if weighted else None

    def both_ways(cu_seqlens: Tensor, weights: Tensor | None) -> list[Tensor]:
        means, totals = kernels.forward(x, cu_seqlens, weights)
        of_weights = (x, means) if weighted else (None, None)
        gradients = kernels.backward(d_means, cu_seqlens, 9, weights, totals, *of_weights)
        return [means, totals, *(gradient for gradient in gradients if gradient is not None)]

    expected = both_ways(cu_seqlens, weights)
    found = both_ways(every_other(cu_seqlens), None if weights is None else every_other(weights))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.bfloat16], ids=str)
def test_weights_may_be_of_any_dtype(kind: torch.dtype) -> None:
    x, weights, cu_seqlens = torch.randn(9, 8), torch.tensor([0, 0, 1, 1, 0, 1, 0, 1, 1]), boundaries([2, 7])
    found, _ = kernels.forward(x, cu_seqlens, weights.to(kind))
    expected, _ = reference.forward(x.double(), cu_seqlens, weights)
    assert relative_error(found, expected) < LIMITS[torch.float32]
    assert found[0].eq(0).all(), "no row of the first sequence counts"
