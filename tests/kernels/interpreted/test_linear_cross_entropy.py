"""The kernels of cross-entropy behind a linear layer against the reference in float64."""

import pytest
import torch
from biofm_kernels.linear_cross_entropy import kernels, reference
from torch import Tensor

from tests.kernels.interpreted.conftest import LIMITS, every_other, framed, relative_error

DTYPES = pytest.mark.parametrize("dtype", LIMITS, ids=str)


@pytest.fixture(autouse=True)
def _small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few words walk through several spans, and few rows through several blocks of the backward pass."""
    monkeypatch.setattr(kernels, "SPAN", 256)
    monkeypatch.setattr(kernels, "D_LOGITS_AT_ONCE", 111 * 300)


def make_matrix(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Columns of a wider matrix, the others and the rows around being NaN."""
    wide = torch.full((rows, columns + 8), torch.nan)
    wide[:, :columns] = torch.randn(rows, columns)
    return framed(wide.to(dtype))[:, :columns]


def check(n_rows: int, vocabulary: int, width: int, dtype: torch.dtype, has_bias: bool = True) -> None:
    bias = framed(torch.randn(vocabulary).to(dtype)) if has_bias else None
    check_with_bias(bias, n_rows, vocabulary, width, dtype)


def check_with_bias(
    bias: Tensor | None, n_rows: int, vocabulary: int, width: int, dtype: torch.dtype
) -> None:
    hidden, weight = make_matrix(n_rows, width, dtype), make_matrix(vocabulary, width, dtype)
    weight *= width**-0.5  # logits of a few units
    targets = framed(torch.randint(vocabulary, (n_rows,)))
    if bias is not None:
        targets = framed(bias.isfinite().nonzero()[:, 0][targets % int(bias.isfinite().sum())])
    targets[::3] = reference.IGNORED
    d_losses = framed(torch.rand(n_rows))
    losses, lse = kernels.forward(hidden, weight, bias, targets)
    gradients = kernels.backward(d_losses, hidden, weight, bias, targets, lse)
    assert losses.dtype == lse.dtype == torch.float32
    assert {x.dtype for x in gradients if x is not None} == {dtype}

    hidden, weight = hidden.double(), weight.double()
    bias = None if bias is None else bias.double()
    expected = reference.forward(hidden, weight, bias, targets)
    exact = reference.backward(d_losses.double(), hidden, weight, bias, targets, expected[1])
    for found, wanted in zip((losses, lse, *gradients), (*expected, *exact), strict=True):
        assert (found is None) == (wanted is None)
        if found is not None and wanted is not None:
            assert relative_error(found, wanted) < LIMITS[dtype]
    assert losses[::3].eq(0).all()
    assert gradients[0][::3].eq(0).all()


@DTYPES
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("vocabulary", [33, 1000])
def test_every_vocabulary_agrees_with_the_reference(
    vocabulary: int, has_bias: bool, dtype: torch.dtype
) -> None:
    check(111, vocabulary, 80, dtype, has_bias)


@DTYPES
@pytest.mark.parametrize("width", [15 * 64, 20 * 24, 4 * 80])
def test_every_width_agrees_with_the_reference(width: int, dtype: torch.dtype) -> None:
    check(63, 100, width, dtype)


@pytest.mark.parametrize("n_rows", [0, 1, 2, 63, 1000])
def test_every_number_of_rows_agrees_with_the_reference(n_rows: int) -> None:
    check(n_rows, 300, 48, torch.float32)


@pytest.mark.slow
@DTYPES
def test_a_vocabulary_of_genes_agrees_with_the_reference(dtype: torch.dtype) -> None:
    check(33, 25_426, 32, dtype)


def test_a_target_outside_the_vocabulary_has_no_loss() -> None:
    hidden, weight = torch.randn(3, 16), torch.randn(33, 16)
    losses, _ = kernels.forward(hidden, weight, None, torch.tensor([33, 0, -1]))
    assert losses.isnan().tolist() == [True, False, True]


def test_large_logits_do_not_overflow() -> None:
    hidden, weight = 300 * torch.randn(5, 16), torch.randn(600, 16)
    losses, _ = kernels.forward(hidden, weight, None, torch.arange(5))
    exact, _ = reference.forward(hidden.double(), weight.double(), None, torch.arange(5))
    assert relative_error(losses, exact) < LIMITS[torch.float32]


@pytest.mark.parametrize(("first", "last"), [(0, 128), (300, 600), (0, 600)], ids=str)
def test_words_that_a_bias_shuts_out_count_for_nothing(first: int, last: int) -> None:
    """Even a whole block of them, a whole span, or all that were met before the last block."""
    bias = torch.randn(700)
    bias[first:last] = -torch.inf
    check_with_bias(framed(bias), 5, 700, 16, torch.float32)


def test_a_bias_may_be_a_view() -> None:
    check_with_bias(every_other(torch.randn(300)), 5, 300, 16, torch.float32)
