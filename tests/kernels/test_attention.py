"""Every backend of packed attention against the reference in float64, forward and gradients; the reference
against its equation and autograd.
"""

from itertools import pairwise
from typing import Any

import pytest
import torch
from biofm_kernels import Packing, QKNorm, Rotary, attention, backend
from biofm_kernels.attention import grouped, reference
from torch import Tensor

from tests.kernels.conftest import NEEDS_CUDA, boundaries

N_HEADS = 3
LENGTHS = {
    "one token": [1],
    "mixed": [1, 63, 111, 1000],
    "not sorted": [111, 1, 63, 1, 111],
    "equal neighbours": [63, 63, 63, 111, 111, 1, 1],
    "empty sequences": [0, 63, 0, 0, 1, 111, 0],
}
NO_TOKENS = {"no sequence": [0], "one empty sequence": [0, 0], "two empty sequences": [0, 0, 0]}
HEAD_DIMS = [24, 32, 64]
WINDOWS = {
    "everything": (-1, -1),
    "causal": (-1, 0),
    "sliding": (5, 5),
    "wide": (300, 40),
    "before": (64, 0),
    "behind": (0, -1),
}

# Norm of the difference over the norm of what it should be. Float32 carries 24 bits and sums over at most
# 1,000 keys; bfloat16 rounds inputs, weights and output to 8 bits, float16 to 11.
FORWARD = {torch.float32: 2e-6, torch.bfloat16: 6e-3, torch.float16: 1e-3}
GRADIENT = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}

ON_CUDA = [
    pytest.param(name, dtype, marks=NEEDS_CUDA, id=f"{name} {str(dtype).removeprefix('torch.')}")
    for name, dtype in (
        ("triton", torch.float32),
        ("triton", torch.bfloat16),
        ("triton", torch.float16),
        ("varlen", torch.bfloat16),
        ("varlen", torch.float16),
    )
]
ON_CPU = [
    pytest.param("grouped", dtype, id=f"grouped {str(dtype).removeprefix('torch.')}")
    for dtype in (torch.float32, torch.bfloat16, torch.float16)
]


def make_inputs(n_tokens: int, head_dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v and a gradient of the output, in float64."""
    q, k, v, gradient = torch.randn(4, n_tokens, N_HEADS, head_dim, dtype=torch.float64).unbind()
    return q, k, v, gradient


def both_ways(
    name: str, inputs: tuple[Tensor, ...], lengths: list[int], **options: Any
) -> tuple[Tensor, ...]:
    """The output and the gradients of q, k and v, by one backend."""
    *qkv, gradient = inputs
    q, k, v = (x.detach().requires_grad_() for x in qkv)
    with backend(name):
        output = attention(q, k, v, boundaries(lengths).to(q.device), max(lengths), **options)
        return output.detach(), *torch.autograd.grad(output, (q, k, v), gradient)


def relative_error(found: Tensor, exact: Tensor) -> float:
    """A gradient that is zero, as those of q and k are where a query sees one key, is compared as it is."""
    assert found.shape == exact.shape
    norm = float(exact.detach().norm())
    return float((found.detach().cpu().double() - exact.detach()).norm()) / (norm if norm > 1e-9 else 1.0)


def check_against_reference(
    name: str, lengths: list[int], head_dim: int, dtype: torch.dtype, **options: Any
) -> None:
    rounded = tuple(x.to(dtype) for x in make_inputs(sum(lengths), head_dim))
    exact = both_ways("reference", tuple(x.double() for x in rounded), lengths, **options)
    device = "cpu" if name == "grouped" else "cuda"
    found = both_ways(name, tuple(x.to(device) for x in rounded), lengths, **options)

    assert {x.dtype for x in found} == {dtype}
    assert relative_error(found[0], exact[0]) < FORWARD[dtype]
    for computed, expected in zip(found[1:], exact[1:], strict=True):
        assert relative_error(computed, expected) < GRADIENT[dtype]


def test_unwritten_memory_is_nan_in_these_tests() -> None:
    assert torch.empty(1000).isnan().all()


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_the_reference_is_softmax_of_scaled_products_within_each_sequence(
    lengths: list[int], window: tuple[int, int]
) -> None:
    q, k, v, gradient = make_inputs(sum(lengths), head_dim=24)
    found = both_ways("reference", (q, k, v, gradient), lengths, window=window)

    sequence = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    ahead = torch.arange(len(q))[None, :] - torch.arange(len(q))[:, None]
    left, right = (len(q) if side < 0 else side for side in window)
    unseen = (sequence[:, None] != sequence[None, :]) | (ahead < -left) | (ahead > right)
    q, k, v = (x.requires_grad_() for x in (q, k, v))
    scores = torch.einsum("qhd,khd->hqk", q, k) / 24**0.5
    expected = torch.einsum("hqk,khd->qhd", scores.masked_fill(unseen, -torch.inf).softmax(-1), v)
    gradients = torch.autograd.grad(expected, (q, k, v), gradient)
    for computed, exact in zip(found, (expected, *gradients), strict=True):
        torch.testing.assert_close(computed, exact, rtol=0, atol=1e-11)


def test_a_query_that_sees_no_key_gives_nothing() -> None:
    packing = Packing(torch.tensor([0, 0, 2]).int(), torch.tensor([0, 1, 2]).int(), 2)
    q, k = torch.randn(2, 1, 8), torch.randn(2, 1, 8)
    for module in (reference, grouped):
        out, lse = module.forward(q, k, k, packing, 0.3, (-1, -1))
        assert torch.equal(out[0], torch.zeros(1, 8))
        assert lse[0, 0] == torch.inf
        assert out[1].isfinite().all()


@pytest.mark.parametrize("head_dim", HEAD_DIMS)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize(("name", "dtype"), [*ON_CPU, *ON_CUDA])
def test_every_backend_agrees_with_the_reference(
    name: str, dtype: torch.dtype, lengths: list[int], head_dim: int
) -> None:
    check_against_reference(name, lengths, head_dim, dtype)


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize(("name", "dtype"), [*ON_CPU, *ON_CUDA])
def test_windows_agree_with_the_reference(name: str, dtype: torch.dtype, window: tuple[int, int]) -> None:
    check_against_reference(name, [1, 63, 111, 400], 24, dtype, window=window)


@NEEDS_CUDA
@pytest.mark.parametrize("head_dim", [16, 24, 32, 48, 64, 80, 96, 128])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_head_dim_is_right_on_a_gpu(dtype: torch.dtype, head_dim: int) -> None:
    check_against_reference("triton", [1, 63, 111, 1000], head_dim, dtype)


@NEEDS_CUDA
def test_gradients_on_a_gpu_are_the_same_at_every_run() -> None:
    inputs = tuple(x.bfloat16().cuda() for x in make_inputs(1175, 64))
    first, second = (both_ways("triton", inputs, [1, 63, 111, 1000]) for _ in range(2))
    assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))


QUERIES = {
    "one each": ([63, 63, 111, 111, 1], [1, 1, 1, 1, 1]),
    "some": ([63, 63, 111, 111, 1], [5, 5, 7, 111, 1]),
    "none of some sequences": ([63, 0, 63, 111, 1], [0, 0, 3, 0, 1]),
    "none at all": ([63, 111], [0, 0]),
}


@pytest.mark.parametrize(("lengths", "n_queries"), QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize(("name", "dtype"), [*ON_CPU, *ON_CUDA, ("reference", torch.float32)])
def test_fewer_queries_than_tokens_give_the_rows_that_all_would(
    name: str, dtype: torch.dtype, lengths: list[int], n_queries: list[int]
) -> None:
    cu_seqlens = boundaries(lengths)
    q, k, v, gradient = (x.to(dtype) for x in make_inputs(sum(lengths), head_dim=24))
    spread = [
        start + torch.randperm(length)[:n].sort().values
        for start, length, n in zip(cu_seqlens.tolist(), lengths, n_queries, strict=False)
    ]
    rows = torch.cat(spread)
    whole = torch.zeros_like(gradient).index_copy(0, rows, gradient[rows])
    exact = both_ways("reference", tuple(x.double() for x in (q, k, v, whole)), lengths)
    device = "cpu" if name in ("grouped", "reference") else "cuda"
    some = tuple(x.to(device) for x in (q[rows], k, v, gradient[rows]))
    found = both_ways(name, some, lengths, cu_queries=boundaries(n_queries).to(device))
    assert relative_error(found[0], exact[0][rows]) < FORWARD[dtype]
    assert relative_error(found[1], exact[1][rows]) < GRADIENT[dtype]
    for computed, expected in zip(found[2:], exact[2:], strict=True):
        assert relative_error(computed, expected) < GRADIENT[dtype]


@pytest.mark.parametrize("bounds", NO_TOKENS.values(), ids=NO_TOKENS)
@pytest.mark.parametrize("name", ["grouped", "reference", pytest.param("triton", marks=NEEDS_CUDA)])
def test_no_token_gives_no_output(name: str, bounds: list[int]) -> None:
    nothing = torch.zeros(0, N_HEADS, 24, device="cuda" if name == "triton" else "cpu", requires_grad=True)
    cu_seqlens = torch.tensor(bounds, dtype=torch.int32, device=nothing.device)
    with backend(name):
        output = attention(nothing, nothing, nothing, cu_seqlens, 0)
        output.sum().backward()
    assert output.shape == (0, N_HEADS, 24)


def test_a_token_never_sees_another_sequence() -> None:
    lengths = [63, 63, 1, 111]
    q, k, v, _ = (x.float() for x in make_inputs(sum(lengths), head_dim=32))
    cu_seqlens = boundaries(lengths)
    before = attention(q, k, v, cu_seqlens, 111)
    for changed in range(len(lengths)):
        rows = slice(*cu_seqlens[changed : changed + 2].tolist())
        other_k, other_v = k.clone(), v.clone()
        other_k[rows], other_v[rows] = torch.randn(2, lengths[changed], N_HEADS, 32)
        after = attention(q, other_k, other_v, cu_seqlens, 111)
        for number, (start, stop) in enumerate(pairwise(cu_seqlens.tolist())):
            assert torch.equal(before[start:stop], after[start:stop]) == (number != changed)


def test_views_of_one_projection_give_the_numbers_of_their_copies() -> None:
    lengths = [63, 63, 111]
    qkv = torch.randn(sum(lengths), 3 * N_HEADS * 24)
    q, k, v = (x.unflatten(-1, (N_HEADS, 24)) for x in qkv.chunk(3, dim=-1))
    assert not q.is_contiguous()
    cu_seqlens = boundaries(lengths)
    copies = attention(q.contiguous(), k.contiguous(), v.contiguous(), cu_seqlens, 111)
    torch.testing.assert_close(attention(q, k, v, cu_seqlens, 111), copies, rtol=0, atol=1e-6)


def test_a_window_of_some_tokens_costs_no_square_of_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, largest = [20_000], 0
    plain = reference.sees

    def watched(*arguments: Any) -> Tensor:
        nonlocal largest
        seen = plain(*arguments)
        largest = max(largest, seen.numel())
        return seen

    monkeypatch.setattr(grouped, "sees", watched)
    q, k, v, _ = (x.float() for x in make_inputs(20_000, head_dim=8))
    attention(q, k, v, boundaries(lengths), 20_000, window=(64, 64))
    assert largest <= 128 * (128 + 64 + 64)


def make_rotary(lengths: list[int], head_dim: int, device: str = "cpu") -> Rotary:
    positions = torch.cat([torch.arange(n, device=device) for n in lengths])
    frequencies = 10000.0 ** (-torch.arange(0, head_dim, 2, device=device) / head_dim)
    angles = torch.arange(max(lengths), device=device)[:, None] * frequencies
    return Rotary(angles.cos(), angles.sin(), positions, positions)


def make_norm(kind: Any, width: int, dtype: torch.dtype, device: str = "cpu") -> QKNorm:
    weights = [1 + torch.randn(width, dtype=dtype, device=device) / 4 for _ in range(2)]
    biases = [torch.randn(width, dtype=dtype, device=device) / 4 for _ in range(2)]
    return QKNorm(kind, 1e-5, *weights, *biases)


def turned(x: Tensor, weight: Tensor, bias: Tensor, kind: str, rotary: Rotary) -> Tensor:
    """rotate(norm(x)) written out, in x's dtype."""
    rows = x.flatten(1)
    if kind == "layer":
        rows = rows - rows.mean(-1, keepdim=True)
    rows = rows / (rows.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias
    first, second = rows.view(x.shape).chunk(2, -1)
    cos, sin = (angles.to(x.dtype)[rotary.k_positions][:, None] for angles in rotary[:2])
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


CASES = [
    pytest.param("grouped", torch.float64, id="grouped float64"),
    pytest.param("grouped", torch.float32, id="grouped float32"),
    pytest.param("grouped", torch.bfloat16, id="grouped bfloat16"),
    pytest.param("reference", torch.float64, id="reference float64"),
    *(pytest.param("triton", dtype, marks=NEEDS_CUDA) for dtype in (torch.float32, torch.bfloat16)),
]
LIMITS = {torch.float64: 1e-12, torch.float32: 4e-6, torch.bfloat16: 2e-2}


@pytest.mark.parametrize("kind", ["layer", "rms"])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_norms_and_rotation_are_those_of_their_equations(name: str, dtype: torch.dtype, kind: str) -> None:
    lengths, head_dim = [1, 63, 40], 24
    device = "cuda" if name == "triton" else "cpu"
    norm = make_norm(kind, N_HEADS * head_dim, dtype)
    rotary = make_rotary(lengths, head_dim)
    q, k, v, gradient = (x.to(dtype) for x in make_inputs(sum(lengths), head_dim))

    exact = [x.double().requires_grad_() for x in (q, k, v, *norm[2:])]
    turned_q = turned(exact[0], exact[3], exact[5], kind, rotary)
    turned_k = turned(exact[1], exact[4], exact[6], kind, rotary)
    with backend("reference"):
        expected = attention(turned_q, turned_k, exact[2], boundaries(lengths), 63)
    expected_gradients = torch.autograd.grad(expected, exact, gradient.double())

    inputs = [x.to(device).requires_grad_() for x in (q, k, v, *norm[2:])]
    q, k, v, *parameters = inputs
    norm, rotary = QKNorm(norm.kind, 1e-5, *parameters), Rotary(*(x.to(device) for x in rotary))
    with backend(name):
        found = attention(q, k, v, boundaries(lengths).to(device), 63, norm=norm, rotary=rotary)
        gradients = torch.autograd.grad(found, inputs, gradient.to(device))
    for computed, exactly in zip((found, *gradients), (expected, *expected_gradients), strict=True):
        assert relative_error(computed, exactly) < LIMITS[dtype]


def test_a_rotation_of_some_queries_is_that_of_their_positions() -> None:
    lengths, rows = [20, 9], torch.tensor([3, 19, 22])
    q, k, v, _ = (x.float() for x in make_inputs(29, 24))
    rotary = make_rotary(lengths, 24)
    whole = attention(q, k, v, boundaries(lengths), 20, rotary=rotary)
    some = attention(
        q[rows], k, v, boundaries(lengths), 20, boundaries([2, 1]),
        rotary=rotary._replace(q_positions=rotary.q_positions[rows]),
    )  # fmt: skip
    torch.testing.assert_close(some, whole[rows], rtol=0, atol=1e-6)


def test_nothing_is_kept_where_no_gradient_is_asked_for() -> None:
    lengths = [20, 9]
    q, k, v, _ = (x.float() for x in make_inputs(29, 24))
    rotary = make_rotary(lengths, 24)
    seen: list[tuple[int, ...]] = []
    q.requires_grad_()

    def note(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        with torch.no_grad():
            attention(q, k, v, boundaries(lengths), 20, rotary=rotary)
        assert not seen
        attention(q, k, v, boundaries(lengths), 20, rotary=rotary)
    assert (
        seen.count((29, N_HEADS, 24)) == 4
    )  # the output, v, and q and k as they were turned, not as they came
