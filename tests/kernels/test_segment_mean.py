"""Means of sequences: the reference against loops in float64, and the operation as torch sees it."""

from itertools import pairwise

import pytest
import torch
from biofm_kernels import backend
from biofm_kernels.segment_mean import segment_mean
from torch import Tensor

from tests.kernels.conftest import boundaries
from tests.kernels.interpreted.conftest import LIMITS, relative_error

LENGTHS = {
    "few rows": [1, 2, 5],
    "mixed": [1, 63, 111, 1000],
    "empty sequences": [0, 63, 0, 0, 1, 0],
    "no row": [0, 0],
    "no sequence": [],
}
ALL_LENGTHS = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
ALL_WEIGHTS = pytest.mark.parametrize("weighted", ["not weighted", "masked", "weighted"])


def make_weights(weighted: str, n_rows: int) -> Tensor | None:
    if weighted == "masked":
        return torch.rand(n_rows) < 0.5
    return torch.rand(n_rows, dtype=torch.float64) + 0.5 if weighted == "weighted" else None


def by_hand(x: Tensor, lengths: list[int], weights: Tensor | None) -> Tensor:
    weights = torch.ones(len(x)) if weights is None else weights
    means = []
    for start, stop in pairwise(boundaries(lengths).tolist()):
        total = sum(weights[start:stop].tolist())
        rows = zip(x[start:stop], weights[start:stop].tolist(), strict=True)
        means.append(sum((row * weight for row, weight in rows), torch.zeros_like(x[0])) / (total or 1))
    return torch.stack(means)


@ALL_WEIGHTS
@pytest.mark.parametrize("lengths", [[1], [5, 1, 7], [0, 3, 0, 0, 1, 0]])
def test_each_sequence_gets_the_weighted_mean_of_its_rows(lengths: list[int], weighted: str) -> None:
    x, weights = torch.randn(sum(lengths), 4, dtype=torch.float64), make_weights(weighted, sum(lengths))
    means = segment_mean(x, boundaries(lengths), weights)
    torch.testing.assert_close(means, by_hand(x, lengths, weights), rtol=0, atol=1e-12)


@pytest.mark.parametrize("weighted", ["not weighted", "weighted"])
def test_gradients_are_those_of_finite_differences(weighted: str) -> None:
    lengths = [0, 3, 1, 0, 2]
    x, weights = torch.randn(6, 4, dtype=torch.float64), make_weights(weighted, 6)
    inputs = [each.requires_grad_() for each in (x, weights) if each is not None]
    assert torch.autograd.gradcheck(lambda x, *w: segment_mean(x, boundaries(lengths), *w), inputs)


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@ALL_WEIGHTS
@ALL_LENGTHS
def test_every_dtype_agrees_with_float64(
    lengths: list[int], weighted: str, dtype: torch.dtype, device: str
) -> None:
    x, gradient = torch.randn(sum(lengths), 48).to(dtype), torch.randn(len(lengths), 48).to(dtype)
    weights = make_weights(weighted, sum(lengths))
    with backend("reference"):
        exact = both_ways(x.double(), lengths, weights, gradient.double())
    weights = None if weights is None else weights.to(device)
    found = both_ways(x.to(device), lengths, weights, gradient.to(device))
    assert found[0].dtype == found[1].dtype == dtype
    for computed, expected in zip(found, exact, strict=True):
        assert relative_error(computed.cpu(), expected) < LIMITS[dtype]


def both_ways(x: Tensor, lengths: list[int], weights: Tensor | None, gradient: Tensor) -> list[Tensor]:
    """The means, the gradient of x, and that of weights that are not a mask."""
    x = x.detach().requires_grad_()
    inputs = [x]
    if weights is not None and weights.is_floating_point():
        weights = weights.detach().requires_grad_()
        inputs.append(weights)
    means = segment_mean(x, boundaries(lengths).to(x.device), weights)
    return [means.detach(), *torch.autograd.grad(means, inputs, gradient)]


def test_a_sequence_whose_rows_do_not_count_has_a_mean_and_a_gradient_of_zero(device: str) -> None:
    x, weights = torch.randn(5, 3, device=device), torch.tensor([0, 0, 1, 1, 0], device=device)
    means, gradient = both_ways(x, [2, 3], weights, torch.ones(2, 3, device=device))
    assert means[0].eq(0).all()
    assert gradient[[0, 1, 4]].eq(0).all()


def test_without_gradients_of_weights_nothing_of_x_is_kept_for_the_backward_pass() -> None:
    kept: list[torch.Size] = []

    def keep(x: Tensor) -> Tensor:
        kept.append(x.shape)
        return x

    x = torch.randn(5, 3, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        segment_mean(x, boundaries([2, 3]), torch.ones(5))
    assert kept, "the boundaries are"
    assert x.shape not in kept


@pytest.mark.usefixtures("_unchecked_shapes")
@pytest.mark.parametrize("weights_require_grad", [True, False])
@ALL_WEIGHTS
def test_torch_finds_the_operation_well_registered(weighted: str, weights_require_grad: bool) -> None:
    x, weights = torch.randn(6, 4, requires_grad=True), make_weights(weighted, 6)
    if weights is not None and weights.is_floating_point():
        weights.requires_grad_(weights_require_grad)
    torch.library.opcheck(torch.ops.biofm.segment_mean.default, (x, boundaries([2, 0, 4]), weights))


@pytest.mark.usefixtures("_unchecked_shapes")
@ALL_WEIGHTS
def test_compiled_for_any_number_of_rows_it_gives_the_same(weighted: str) -> None:
    compiled = torch.compile(segment_mean, fullgraph=True, dynamic=True, backend="aot_eager")
    for lengths in ([3, 2], [4, 0, 7]):
        x, weights = torch.randn(sum(lengths), 4, requires_grad=True), make_weights(weighted, sum(lengths))
        plain, found = (run(x, boundaries(lengths), weights) for run in (segment_mean, compiled))
        torch.testing.assert_close(found, plain, rtol=0, atol=0)
        gradients = [torch.autograd.grad(means.square().sum(), x)[0] for means in (plain, found)]
        torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.usefixtures("_unchecked_shapes")
def test_an_exported_model_holds_the_operation_for_any_number_of_rows() -> None:
    class Model(torch.nn.Module):
        def forward(self, x: Tensor, cu_seqlens: Tensor) -> Tensor:
            return segment_mean(x, cu_seqlens)

    shapes = [{0: torch.export.Dim("rows")}, {0: torch.export.Dim("bounds", min=3)}]
    exported = torch.export.export(Model(), (torch.randn(5, 4), boundaries([2, 3])), dynamic_shapes=shapes)
    assert "biofm.segment_mean" in exported.graph_module.code
    x, cu_seqlens = torch.randn(11, 4), boundaries([4, 0, 7])
    torch.testing.assert_close(exported.module()(x, cu_seqlens), segment_mean(x, cu_seqlens), rtol=0, atol=0)
