"""The kernels of norm and rotation against the reference in float64."""

import pytest
import torch
from biofm_kernels import Rotary
from biofm_kernels.qk_norm_rope import QKNorm, kernels, parts_of, reference
from torch import Tensor

from tests.kernels.interpreted.conftest import LIMITS, every_other, framed, relative_error

DTYPES = pytest.mark.parametrize("dtype", LIMITS, ids=str)
NORMS = ["layer with bias", "layer", "rms with bias", "rms", "none"]
N_POSITIONS = 40


def make_norm(name: str, d_model: int) -> QKNorm | None:
    if name == "none":
        return None
    kind, _, bias = name.partition(" with ")
    return QKNorm.of(kind, 1e-2, [framed(x) for x in torch.randn(4 if bias else 2, d_model)])


def make_rotary(n_queries: int, n_tokens: int, head_dim: int) -> Rotary:
    angles = torch.randn(N_POSITIONS, head_dim // 2)
    q_positions, k_positions = (torch.randint(N_POSITIONS, (n,)) for n in (n_queries, n_tokens))
    return Rotary(framed(angles.cos()), framed(angles.sin()), q_positions, k_positions)


def make_heads(n_rows: int, heads: int, head_dim: int, dtype: torch.dtype) -> Tensor:
    """A view of a projection whose other columns, and the rows around it, are NaN."""
    projected = torch.full((n_rows, 3 * heads * head_dim), torch.nan)
    projected[:, heads * head_dim : 2 * heads * head_dim] = torch.randn(n_rows, heads * head_dim)
    return framed(projected.to(dtype)).chunk(3, -1)[1].unflatten(-1, (heads, head_dim))


def in_float64(norm: QKNorm | None, rotary: Rotary | None) -> tuple[QKNorm | None, Rotary | None]:
    kind, eps, parameters = parts_of(norm)
    norm = QKNorm.of(kind, eps, [x.double() for x in parameters])
    if rotary is not None:
        rotary = rotary._replace(cos=rotary.cos.double(), sin=rotary.sin.double())
    return norm, rotary


def check(
    n_queries: int,
    n_tokens: int,
    shape: tuple[int, int],
    dtype: torch.dtype,
    norm: QKNorm | None,
    rotary: Rotary | None,
) -> None:
    """Results, statistics and every gradient."""
    q, k, d_q_out, d_k_out = (make_heads(n, *shape, dtype) for n in 2 * (n_queries, n_tokens))
    found = kernels.forward(q, k, norm, rotary)
    assert [x.dtype for x in found] == [dtype, dtype, torch.float32, torch.float32]
    assert all(x.is_contiguous() for x in found)
    gradients = kernels.backward(d_q_out, d_k_out, q, k, found[2], found[3], norm, rotary)

    exact_norm, exact_rotary = in_float64(norm, rotary)
    q, k, d_q_out, d_k_out = (x.double() for x in (q, k, d_q_out, d_k_out))
    expected = reference.forward(q, k, exact_norm, exact_rotary)
    exact = reference.backward(d_q_out, d_k_out, q, k, *expected[2:], exact_norm, exact_rotary)
    for computed, wanted in zip((*found, *gradients), (*expected, *exact), strict=True):
        assert (computed is None) == (wanted is None)
        if computed is not None and wanted is not None:
            assert relative_error(computed, wanted) < LIMITS[dtype]


@DTYPES
@pytest.mark.parametrize("name", NORMS)
def test_every_norm_with_rotation_agrees_with_the_reference(name: str, dtype: torch.dtype) -> None:
    check(7, 11, (4, 80), dtype, make_norm(name, 320), make_rotary(7, 11, 80))


@pytest.mark.parametrize("name", NORMS)
def test_every_norm_without_rotation_agrees_with_the_reference(name: str) -> None:
    check(7, 11, (4, 80), torch.float32, make_norm(name, 320), None)


@DTYPES
@pytest.mark.parametrize(("heads", "head_dim"), [(15, 64), (20, 24), (3, 2), (5, 48)])
def test_every_width_agrees_with_the_reference(heads: int, head_dim: int, dtype: torch.dtype) -> None:
    norm = make_norm("layer with bias", heads * head_dim)
    check(3, 5, (heads, head_dim), dtype, norm, make_rotary(3, 5, head_dim))


@pytest.mark.parametrize(("n_queries", "n_tokens"), [(0, 0), (0, 3), (1, 1), (1, 63), (63, 111)])
def test_every_number_of_rows_agrees_with_the_reference(
    n_queries: int, n_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "BACKWARD_PROGRAMS", 4)  # of several rows each, the last one of fewer
    norm = make_norm("layer with bias", 30)
    check(n_queries, n_tokens, (3, 10), torch.float32, norm, make_rotary(n_queries, n_tokens, 10))


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_parameters_angles_and_positions_may_be_views(kind: str) -> None:
    parameters, rotary = torch.randn(4, 30), make_rotary(5, 9, 10)
    norm = QKNorm.of(kind, 1e-2, [every_other(x) for x in parameters])
    check(5, 9, (3, 10), torch.float32, norm, Rotary(*(every_other(x) for x in rotary)))


@pytest.mark.slow
def test_a_thousand_rows_agree_with_the_reference() -> None:
    check(111, 1000, (3, 10), torch.float32, make_norm("layer", 30), make_rotary(111, 1000, 10))
