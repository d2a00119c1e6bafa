"""Every backend of packed attention against the reference in float64, forward and gradients."""

from collections.abc import Callable
from itertools import pairwise
from types import ModuleType

import pytest
import torch
from biofm_kernels import attention, backend_for
from biofm_kernels.attention import grouped, reference, varlen
from torch import Tensor

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

# Largest difference, relative to the largest entry. Float32 carries 24 bits and sums over at most 1,000 keys;
# bfloat16 rounds inputs, weights and output to 8 bits, float16 to 11.
FORWARD = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 4e-3}
GRADIENT = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}

BACKENDS = [pytest.param(attention, id="dispatch"), pytest.param(grouped.attention, id="grouped")]
NEEDS_CUDA = pytest.mark.skipif(
    not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0),
    reason="torch's variable-length kernel needs a CUDA GPU of compute capability 8.0",
)

Attention = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]


def boundaries(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


def make_inputs(n_tokens: int, head_dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """q, k, v and a gradient of the output, in float64."""
    q, k, v, gradient = torch.randn(4, n_tokens, N_HEADS, head_dim, dtype=torch.float64).unbind()
    return q, k, v, gradient


def run_both_ways(
    run: Attention, inputs: tuple[Tensor, ...], cu_seqlens: Tensor, longest: int
) -> list[Tensor]:
    """The output and the gradients of q, k and v."""
    *qkv, gradient = inputs
    q, k, v = (x.detach().requires_grad_() for x in qkv)
    output = run(q, k, v, cu_seqlens, longest)
    return [output.detach(), *torch.autograd.grad(output, (q, k, v), gradient)]


def relative_difference(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found.cpu().double() - expected).abs().max() / expected.abs().max())


def check_against_reference(
    run: Attention, lengths: list[int], head_dim: int, dtype: torch.dtype, device: str = "cpu"
) -> None:
    cu_seqlens = boundaries(lengths)
    rounded = tuple(x.to(dtype) for x in make_inputs(sum(lengths), head_dim))
    exact = run_both_ways(reference.attention, tuple(x.double() for x in rounded), cu_seqlens, max(lengths))
    on_device = tuple(x.to(device) for x in rounded)
    found = run_both_ways(run, on_device, cu_seqlens.to(device), max(lengths))

    assert {x.dtype for x in found} == {dtype}
    assert relative_difference(found[0], exact[0]) < FORWARD[dtype]
    for computed, expected in zip(found[1:], exact[1:], strict=True):
        if max(lengths) > 1:
            assert relative_difference(computed, expected) < GRADIENT[dtype]
        else:  # One key has weight 1 whatever q and k are: their gradients are zero.
            assert (computed.cpu().double() - expected).abs().max() < GRADIENT[dtype]


def test_unwritten_memory_is_nan_in_these_tests() -> None:
    assert torch.empty(1000).isnan().all()


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_the_reference_is_softmax_of_scaled_products_within_each_sequence(lengths: list[int]) -> None:
    q, k, v, _ = make_inputs(sum(lengths), head_dim=24)
    output = reference.attention(q, k, v, boundaries(lengths), max(lengths))

    sequence = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    scores = torch.einsum("qhd,khd->hqk", q, k) / 24**0.5
    scores = scores.masked_fill(sequence[:, None] != sequence[None, :], -torch.inf)
    expected = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("head_dim", HEAD_DIMS)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("run", BACKENDS)
def test_float32_agrees_with_the_reference(run: Attention, lengths: list[int], head_dim: int) -> None:
    check_against_reference(run, lengths, head_dim, torch.float32)


@pytest.mark.parametrize("head_dim", HEAD_DIMS)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_bfloat16_agrees_with_the_reference(lengths: list[int], head_dim: int) -> None:
    check_against_reference(attention, lengths, head_dim, torch.bfloat16)


@NEEDS_CUDA
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
@pytest.mark.parametrize("head_dim", HEAD_DIMS)
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_varlen_agrees_with_the_reference(lengths: list[int], head_dim: int, dtype: torch.dtype) -> None:
    check_against_reference(varlen.attention, lengths, head_dim, dtype, device="cuda")


QUERIES = {
    "one each": ([63, 63, 111, 111, 1], [1, 1, 1, 1, 1]),
    "some": ([63, 63, 111, 111, 1], [5, 5, 7, 111, 1]),
    "none of some sequences": ([63, 0, 63, 111, 1], [0, 0, 3, 0, 1]),
    "none at all": ([63, 111], [0, 0]),
}


@pytest.mark.parametrize(("lengths", "n_queries"), QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("run", [*BACKENDS, pytest.param(reference.attention, id="reference")])
def test_fewer_queries_than_tokens_give_the_rows_that_all_would(
    run: Callable[..., Tensor], lengths: list[int], n_queries: list[int]
) -> None:
    check_fewer_queries(run, lengths, n_queries, torch.float32)


@NEEDS_CUDA
@pytest.mark.parametrize(("lengths", "n_queries"), QUERIES.values(), ids=QUERIES)
def test_varlen_takes_fewer_queries_than_tokens(lengths: list[int], n_queries: list[int]) -> None:
    check_fewer_queries(varlen.attention, lengths, n_queries, torch.bfloat16, device="cuda")


def check_fewer_queries(
    run: Callable[..., Tensor],
    lengths: list[int],
    n_queries: list[int],
    dtype: torch.dtype,
    device: str = "cpu",
) -> None:
    cu_seqlens = boundaries(lengths)
    q, k, v, _ = (x.to(dtype) for x in make_inputs(sum(lengths), head_dim=24))
    spread = [
        start + torch.randperm(length)[:n].sort().values
        for start, length, n in zip(cu_seqlens.tolist(), lengths, n_queries, strict=False)
    ]
    rows = torch.cat(spread)
    expected = reference.attention(q.double(), k.double(), v.double(), cu_seqlens, max(lengths))[rows]
    on_device = (x.to(device) for x in (q[rows], k, v, cu_seqlens))
    found = run(*on_device, max(lengths), boundaries(n_queries).to(device))
    assert found.shape == expected.shape
    torch.testing.assert_close(
        found.cpu().double(), expected, rtol=0, atol=FORWARD[dtype] * float(v.abs().max())
    )


@pytest.mark.parametrize("bounds", NO_TOKENS.values(), ids=NO_TOKENS)
@pytest.mark.parametrize("run", [*BACKENDS, pytest.param(reference.attention, id="reference")])
def test_no_token_gives_no_output(run: Attention, bounds: list[int]) -> None:
    nothing = torch.zeros(0, N_HEADS, 24)
    output = run(nothing, nothing, nothing, torch.tensor(bounds, dtype=torch.int32), 0)
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


@pytest.mark.parametrize(
    ("device", "dtype", "head_dim", "backend"),
    [
        ("cpu", torch.float32, 24, grouped),
        ("cpu", torch.bfloat16, 64, grouped),
        ("mps", torch.float16, 64, grouped),
        ("cuda", torch.float32, 64, grouped),
        ("cuda", torch.float64, 64, grouped),
        ("cuda", torch.bfloat16, 24, varlen),
        ("cuda", torch.float16, 64, varlen),
        ("cuda", torch.bfloat16, 256, varlen),
        ("cuda", torch.bfloat16, 264, grouped),
        ("cuda", torch.float16, 20, grouped),
    ],
)
def test_the_backend_follows_from_device_dtype_and_head_dim(
    device: str, dtype: torch.dtype, head_dim: int, backend: ModuleType
) -> None:
    assert backend_for(device, dtype, head_dim) is backend


def test_attention_runs_the_backend_that_backend_for_names(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.ones(2, 1, 8)
    monkeypatch.setattr(grouped, "attention", lambda q, *_: q * 7)
    assert torch.equal(attention(x, x, x, boundaries([2]), 2), x * 7)
