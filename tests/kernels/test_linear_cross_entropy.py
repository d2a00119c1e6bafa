"""Cross-entropy behind a linear layer: the reference against loops in float64, the operation as torch sees
it.
"""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from biofm_kernels.flops import FlopCounterMode
from biofm_kernels.linear_cross_entropy import linear_cross_entropy, reference
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.kernels.interpreted.conftest import LIMITS, relative_error

HAS_BIAS = pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no bias"])


def make_inputs(
    n_rows: int,
    vocabulary: int,
    width: int,
    has_bias: bool = True,
    dtype: torch.dtype = torch.float64,
    device: str = "cpu",
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """hidden, weight, bias, targets; every third row does not count."""
    hidden = torch.randn(n_rows, width, dtype=torch.float64)
    weight = torch.randn(vocabulary, width, dtype=torch.float64) * width**-0.5
    bias = torch.randn(vocabulary, dtype=torch.float64).to(device, dtype) if has_bias else None
    targets = torch.randint(vocabulary, (n_rows,))
    targets[2::3] = -100
    return hidden.to(device, dtype), weight.to(device, dtype), bias, targets.to(device)


def trainable(*inputs: Tensor | None) -> list[Tensor]:
    return [x.requires_grad_() for x in inputs if x is not None]


def run(inputs: Sequence[Tensor], targets: Tensor) -> Tensor:
    hidden, weight, *bias = inputs
    return linear_cross_entropy(hidden, weight, bias[0] if bias else None, targets)


@pytest.fixture
def _few_logits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "LOGITS_AT_ONCE", 100)


@pytest.mark.usefixtures("_few_logits_at_once")
@HAS_BIAS
def test_the_loss_is_the_logarithm_of_the_share_of_the_target(has_bias: bool) -> None:
    hidden, weight, bias, targets = make_inputs(10, 33, 5, has_bias)
    losses = linear_cross_entropy(hidden, weight, bias, targets)
    for row, target, loss in zip(hidden, targets.tolist(), losses.tolist(), strict=True):
        shifts = [0.0] * 33 if bias is None else bias.tolist()
        shares = [math.exp(float(row @ word) + shift) for word, shift in zip(weight, shifts, strict=True)]
        expected = 0.0 if target == -100 else -math.log(shares[target] / sum(shares))
        assert loss == pytest.approx(expected, abs=1e-12)


@pytest.mark.usefixtures("_few_logits_at_once")
@HAS_BIAS
def test_gradients_are_those_of_finite_differences(has_bias: bool) -> None:
    hidden, weight, bias, targets = make_inputs(4, 33, 3, has_bias)
    inputs = trainable(hidden, weight, bias)
    assert torch.autograd.gradcheck(lambda *inputs: run(inputs, targets), inputs)


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
@pytest.mark.parametrize(
    ("n_rows", "vocabulary", "width"),
    [(1, 33, 15 * 64), (63, 1000, 20 * 24), (111, 1000, 4 * 80), (1000, 33, 64)],
)
def test_every_dtype_agrees_with_float64(
    n_rows: int, vocabulary: int, width: int, dtype: torch.dtype, device: str
) -> None:
    check_against_float64(n_rows, vocabulary, width, dtype, device)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", LIMITS, ids=str)
def test_a_vocabulary_of_genes_agrees_with_float64(dtype: torch.dtype, device: str) -> None:
    check_against_float64(1000, 25_426, 64, dtype, device)


def check_against_float64(n_rows: int, vocabulary: int, width: int, dtype: torch.dtype, device: str) -> None:
    """Every gradient is compared too, with those of torch's own cross-entropy."""
    hidden, weight, bias, targets = make_inputs(n_rows, vocabulary, width, True, dtype, device)
    d_losses = torch.rand(n_rows, dtype=torch.float64)
    inputs = trainable(hidden, weight, bias)
    losses = run(inputs, targets)
    gradients = torch.autograd.grad(losses, inputs, d_losses.to(device, torch.float32))
    assert losses.dtype == torch.float32
    assert [x.dtype for x in gradients] == [dtype] * 3

    in_float64 = [x.detach().cpu().double().requires_grad_() for x in inputs]
    logits = torch.nn.functional.linear(*in_float64)
    expected = torch.nn.functional.cross_entropy(logits, targets.cpu(), reduction="none")
    exact = torch.autograd.grad(expected, in_float64, d_losses)
    for found, wanted in zip((losses.detach(), *gradients), (expected.detach(), *exact), strict=True):
        assert relative_error(found.cpu(), wanted) < LIMITS[dtype]


def test_rows_that_do_not_count_have_no_loss_and_no_gradient_even_if_all_are_such(device: str) -> None:
    hidden, weight, bias, targets = make_inputs(6, 33, 4, dtype=torch.float32, device=device)
    inputs = trainable(hidden, weight, bias)
    losses = run(inputs, torch.full_like(targets, -100))
    assert losses.eq(0).all()
    assert all(x.eq(0).all() for x in torch.autograd.grad(losses.sum(), inputs))


def test_rows_that_do_not_count_have_no_loss_where_a_bias_shuts_out_the_first_word(device: str) -> None:
    hidden, weight, _, targets = make_inputs(6, 33, 4, dtype=torch.float32, device=device)
    bias = torch.zeros(33, device=device)
    bias[0] = -torch.inf
    losses = linear_cross_entropy(hidden, weight, bias, targets.where(targets != 0, 1))
    assert losses.isfinite().all()
    assert losses[2::3].eq(0).all()


def test_no_row_gives_no_loss_and_gradients_of_zero(device: str) -> None:
    hidden, weight, bias, targets = make_inputs(0, 33, 4, dtype=torch.float32, device=device)
    inputs = trainable(hidden, weight, bias)
    losses = run(inputs, targets)
    gradients = torch.autograd.grad(losses.sum(), inputs)
    assert losses.shape == (0,)
    assert [x.shape for x in gradients] == [(0, 4), (33, 4), (33,)]
    assert all(x.eq(0).all() for x in gradients)


def test_a_target_outside_the_vocabulary_is_an_error() -> None:
    hidden, weight, bias, targets = make_inputs(3, 33, 4)
    with pytest.raises((IndexError, RuntimeError)):
        linear_cross_entropy(hidden, weight, bias, torch.full_like(targets, 33))


class LargestTensor(TorchDispatchMode):
    """Notes how many numbers the largest result of any operation holds."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.n_numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(x, Tensor):
                self.n_numbers = max(self.n_numbers, x.numel())
        return result


def test_the_logits_of_all_rows_are_never_in_memory() -> None:
    n_rows, vocabulary = 2000, 5000
    hidden, weight, bias, targets = make_inputs(n_rows, vocabulary, 8, dtype=torch.float32)
    with LargestTensor() as largest:
        losses, lse = reference.forward(hidden, weight, bias, targets)
        reference.backward(torch.ones_like(losses), hidden, weight, bias, targets, lse)
    assert largest.n_numbers <= reference.LOGITS_AT_ONCE < n_rows * vocabulary


def test_autocast_casts_as_it_does_for_a_linear_layer() -> None:
    hidden, weight, bias, targets = make_inputs(6, 33, 16, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        losses = linear_cross_entropy(hidden, weight, bias, targets)
    expected = linear_cross_entropy(hidden.bfloat16(), weight.bfloat16(), bias, targets)
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)


def test_operations_are_counted() -> None:
    hidden, weight, bias, targets = make_inputs(6, 33, 16)
    with FlopCounterMode(display=False) as counter:
        linear_cross_entropy(hidden.requires_grad_(), weight, bias, targets).sum().backward()
    assert counter.get_total_flops() == (1 + 3) * 2 * 6 * 33 * 16


@HAS_BIAS
def test_torch_finds_the_operation_well_registered(has_bias: bool) -> None:
    hidden, weight, bias, targets = make_inputs(6, 33, 4, has_bias, torch.float32)
    inputs = [x if x is None else x.requires_grad_() for x in (hidden, weight, bias)]
    torch.library.opcheck(torch.ops.biofm.linear_cross_entropy.default, (*inputs, targets))


@pytest.mark.usefixtures("_unchecked_shapes")
@HAS_BIAS
def test_compiled_for_any_number_of_rows_it_gives_the_same(has_bias: bool) -> None:
    compiled = torch.compile(linear_cross_entropy, fullgraph=True, dynamic=True, backend="aot_eager")
    for n_rows in (5, 9):
        hidden, weight, bias, targets = make_inputs(n_rows, 33, 4, has_bias, torch.float32)
        inputs = trainable(hidden, weight, bias)
        plain, found = (each(hidden, weight, bias, targets) for each in (linear_cross_entropy, compiled))
        torch.testing.assert_close(found, plain, rtol=0, atol=0)
        gradients = [torch.autograd.grad(losses.square().sum(), inputs) for losses in (plain, found)]
        torch.testing.assert_close(*gradients, rtol=0, atol=0)


@pytest.mark.usefixtures("_unchecked_shapes")
def test_an_exported_model_holds_the_operation_for_any_number_of_rows() -> None:
    class Model(torch.nn.Module):
        def forward(self, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
            return linear_cross_entropy(hidden, weight, None, targets)

    hidden, weight, _, targets = make_inputs(4, 33, 8)
    rows = torch.export.Dim("rows")
    shapes = [{0: rows}, None, {0: rows}]
    exported = torch.export.export(Model(), (hidden, weight, targets), dynamic_shapes=shapes)
    assert "biofm.linear_cross_entropy" in exported.graph_module.code
    hidden, weight, _, targets = make_inputs(7, 33, 8)
    expected = linear_cross_entropy(hidden, weight, None, targets)
    torch.testing.assert_close(exported.module()(hidden, weight, targets), expected, rtol=0, atol=0)
