"""The attention kernels, forward and every gradient, against the equation in float64."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from biofm_kernels.attention import triton as kernels
from biofm_kernels.packing import Rotary, Tiles, tile
from torch import Tensor

from tests.kernels.interpreted.conftest import LIMITS, framed, relative_error

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
HEAD_DIMS = [16, 24, 32, 48, 64, 80, 96, 128]
N_POSITIONS = 50
WINDOWS = {
    "unbounded": (-1, -1),
    "causal": (-1, 0),
    "anticausal": (0, -1),
    "sliding": (16, 16),
    "asymmetric": (40, 3),
    "itself alone": (0, 0),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    lengths: tuple[int, ...] = (1, 0, 70)
    n_queries: tuple[int, ...] | None = None
    head_dim: int = 16
    n_heads: int = 1
    dtype: torch.dtype = torch.float32
    window: tuple[int, int] = (-1, -1)
    rotary: bool = False

    @property
    def cu_seqlens(self) -> Tensor:
        return boundaries(self.lengths)

    @property
    def cu_queries(self) -> Tensor:
        return boundaries(self.lengths if self.n_queries is None else self.n_queries)

    @property
    def tiles(self) -> Tiles:
        n_tokens, n_queries = int(self.cu_seqlens[-1]), int(self.cu_queries[-1])
        return tile(self.cu_seqlens, n_tokens, self.cu_queries, n_queries)

    @property
    def scale(self) -> float:
        return 0.7 * self.head_dim**-0.5


def boundaries(lengths: tuple[int, ...]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


@dataclass(frozen=True)
class Inputs:
    q: Tensor
    k: Tensor
    v: Tensor
    d_out: Tensor
    rotary: Rotary | None


def make_inputs(case: Case) -> Inputs:
    n_queries, n_tokens = int(case.cu_queries[-1]), int(case.cu_seqlens[-1])
    shape = (case.n_heads, case.head_dim)
    q, d_out = (framed(torch.randn(n_queries, *shape).to(case.dtype)) for _ in range(2))
    k, v = (framed(torch.randn(n_tokens, *shape).to(case.dtype)) for _ in range(2))
    return Inputs(q, k, v, d_out, make_rotary(case.head_dim, n_queries, n_tokens) if case.rotary else None)


def make_rotary(head_dim: int, n_queries: int, n_tokens: int) -> Rotary:
    """Positions in no order, so that only a kernel that looks them up can be right."""
    angles = torch.arange(N_POSITIONS)[:, None] * 10 ** -(torch.arange(head_dim // 2) / head_dim)
    positions = torch.randint(N_POSITIONS, (n_queries,)), torch.randint(N_POSITIONS, (n_tokens,))
    return Rotary(framed(angles.cos()), framed(angles.sin()), framed(positions[0]), framed(positions[1]))


def turned(x: Tensor, rotary: Rotary, positions: Tensor, direction: int = 1) -> Tensor:
    cos, sin = (table.to(x.dtype)[positions][:, None] for table in (rotary.cos, rotary.sin))
    x1, x2 = x.chunk(2, -1)
    return torch.cat((x1 * cos - direction * x2 * sin, x2 * cos + direction * x1 * sin), -1)


def exact_attention(q: Tensor, k: Tensor, v: Tensor, case: Case) -> tuple[Tensor, Tensor]:
    """Output and log-sum; no key seen gives 0 and +inf."""
    outputs, log_sums = [], []
    bounds = zip(pairwise(case.cu_queries.tolist()), pairwise(case.cu_seqlens.tolist()), strict=True)
    for (first, last), (start, stop) in bounds:
        scores = torch.einsum("qhd,khd->hqk", q[first:last], k[start:stop]) * case.scale
        distance = torch.arange(stop - start) - torch.arange(last - first)[:, None]
        left, right = case.window
        hidden = (distance < -left) & (left >= 0) | (distance > right) & (right >= 0)
        scores = scores.masked_fill(hidden, -torch.inf)
        outputs.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v[start:stop]))
        log_sum = scores.logsumexp(-1)
        log_sums.append(torch.where(log_sum == -torch.inf, torch.inf, log_sum))
    return torch.cat(outputs), torch.cat(log_sums, 1)


def check_forward(case: Case, inputs: Inputs) -> None:
    """Given ``rotary``, q and k are turned inside."""
    q, k, v = (x.double() for x in (inputs.q, inputs.k, inputs.v))
    if inputs.rotary is not None:
        q = turned(q, inputs.rotary, inputs.rotary.q_positions)
        k = turned(k, inputs.rotary, inputs.rotary.k_positions)
    exact_out, exact_lse = exact_attention(q, k, v, case)

    out, lse = kernels.forward(
        inputs.q, inputs.k, inputs.v, case.tiles, case.scale, case.window, inputs.rotary
    )
    assert out.dtype == case.dtype
    assert out.is_contiguous()
    assert relative_error(out, exact_out) < LIMITS[case.dtype]
    assert lse.dtype == torch.float32
    assert torch.equal(lse.isposinf(), exact_lse.isposinf())
    seen = exact_lse.isfinite()
    rounding = LIMITS[torch.float32 if inputs.rotary is None else case.dtype]  # of the turned q and k
    assert relative_error(lse[seen], exact_lse[seen]) < rounding


def check_backward(case: Case, inputs: Inputs) -> None:
    """Given ``rotary``, q and k count as turned already; the gradients are those of what was turned."""
    before = [x.double() for x in (inputs.q, inputs.k, inputs.v)]
    if inputs.rotary is not None:
        before[0] = turned(before[0], inputs.rotary, inputs.rotary.q_positions, direction=-1)
        before[1] = turned(before[1], inputs.rotary, inputs.rotary.k_positions, direction=-1)
    before = [x.requires_grad_() for x in before]
    q, k, v = before
    if inputs.rotary is not None:
        q = turned(q, inputs.rotary, inputs.rotary.q_positions)
        k = turned(k, inputs.rotary, inputs.rotary.k_positions)
    exact_out, _ = exact_attention(q, k, v, case)
    exact = torch.autograd.grad(exact_out, before, inputs.d_out.double())

    out, lse = kernels.forward(inputs.q, inputs.k, inputs.v, case.tiles, case.scale, case.window)
    found = kernels.backward(
        inputs.d_out, inputs.q, inputs.k, inputs.v, framed(out), lse, case.tiles, case.scale, case.window,
        inputs.rotary,
    )  # fmt: skip
    for name, gradient, expected in zip(("dq", "dk", "dv"), found, exact, strict=True):
        assert gradient.dtype == case.dtype
        assert gradient.is_contiguous()
        if expected.norm() > 1e-9 * inputs.d_out.double().norm():
            assert relative_error(gradient, expected) < LIMITS[case.dtype], name
        else:  # A query with one key gives it weight 1 whatever q and k are.
            assert gradient.double().norm() < LIMITS[case.dtype] * inputs.d_out.double().norm(), name


def check(case: Case) -> None:
    inputs = make_inputs(case)
    check_forward(case, inputs)
    check_backward(case, inputs)


@pytest.mark.parametrize("rotary", [False, True], ids=["as they are", "turned"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_each_dtype_is_as_near_to_float64_as_its_rounding(dtype: torch.dtype, rotary: bool) -> None:
    check(Case(lengths=(1, 0, 70), head_dim=24, dtype=dtype, rotary=rotary))


@pytest.mark.parametrize("head_dim", [2, *HEAD_DIMS])
def test_each_even_head_dim_is_right(head_dim: int) -> None:
    check(Case(lengths=(37,), head_dim=head_dim, rotary=head_dim in (24, 64)))


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_each_window_is_right(window: tuple[int, int]) -> None:
    check(Case(lengths=(1, 100), window=window))


def test_a_sequence_that_fills_a_tile_ends_with_it() -> None:
    check(Case(lengths=(127, 128, 129)))


def test_heads_are_apart() -> None:
    check(Case(lengths=(5, 40), n_heads=3))
