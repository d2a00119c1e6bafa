"""The attention kernels, forward and every gradient, against the equation in float64."""

from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from biofm_kernels import Rotary, Tiles, tile
from biofm_kernels.attention import launch
from biofm_kernels.configs import tables
from torch import Tensor

from tests.kernels.interpreted.conftest import LIMITS, every_other, framed, relative_error

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
    "wider than any sequence": (2**31 - 1, 2**40),
    "wide on one side": (-1, 2**31 - 1),
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
    q, k, v = (x.double() for x in (inputs.q, inputs.k, inputs.v))
    exact_out, exact_lse = exact_attention(q, k, v, case)

    out, lse = launch.forward(inputs.q, inputs.k, inputs.v, case.tiles, case.scale, case.window)
    assert out.dtype == case.dtype
    assert out.is_contiguous()
    assert relative_error(out, exact_out) < LIMITS[case.dtype]
    assert lse.dtype == torch.float32
    assert torch.equal(lse.isposinf(), exact_lse.isposinf())
    seen = exact_lse.isfinite()
    assert relative_error(lse[seen], exact_lse[seen]) < LIMITS[torch.float32]


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

    out, lse = launch.forward(inputs.q, inputs.k, inputs.v, case.tiles, case.scale, case.window)
    found = launch.backward(
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
    check(Case(lengths=(1, 0, 40), head_dim=24, dtype=dtype, rotary=rotary))


@pytest.mark.parametrize("head_dim", [2, *HEAD_DIMS])
def test_each_even_head_dim_is_right(head_dim: int) -> None:
    check(Case(lengths=(37,), head_dim=head_dim, rotary=head_dim in (24, 64)))


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
def test_each_window_is_right(window: tuple[int, int]) -> None:
    check(Case(lengths=(1, 100), window=window))


@pytest.mark.parametrize("length", [127, 128, 129])
def test_a_sequence_ends_where_its_last_tile_does_or_not(length: int) -> None:
    check(Case(lengths=(length, 3)))


def test_heads_are_apart() -> None:
    check(Case(lengths=(5, 20), n_heads=2))


@pytest.mark.parametrize("rotary", [False, True], ids=["as they are", "turned"])
def test_fewer_queries_than_keys_are_right(rotary: bool) -> None:
    check(Case(lengths=(63, 0, 70, 5), n_queries=(5, 0, 0, 5), rotary=rotary))


def test_a_query_that_sees_no_key_gives_zero_and_an_infinite_log_sum() -> None:
    case = Case(lengths=(0, 5), n_queries=(3, 5))
    inputs = make_inputs(case)
    check_forward(case, inputs)
    check_backward(case, inputs)
    out, lse = launch.forward(inputs.q, inputs.k, inputs.v, case.tiles, case.scale, case.window)
    assert (out[:3] == 0).all()
    assert lse[:, :3].isposinf().all()
    dq, _, _ = launch.backward(
        inputs.d_out, inputs.q, inputs.k, inputs.v, out, lse, case.tiles, case.scale, case.window
    )
    assert (dq[:3] == 0).all()


@pytest.mark.parametrize("lengths", [(), (0,), (0, 0), (63, 5)], ids=str)
def test_no_query_gives_no_output_and_no_gradient(lengths: tuple[int, ...]) -> None:
    case = Case(lengths=lengths, n_queries=(0,) * len(lengths))
    inputs = make_inputs(case)
    out, lse = launch.forward(inputs.q, inputs.k, inputs.v, case.tiles, case.scale, case.window)
    assert out.shape == (0, 1, 16)
    assert lse.shape == (1, 0)
    dq, dk, dv = launch.backward(
        inputs.d_out, inputs.q, inputs.k, inputs.v, out, lse, case.tiles, case.scale, case.window
    )
    assert dq.shape == (0, 1, 16)
    assert dk.shape == dv.shape == (sum(lengths), 1, 16)
    assert (dk == 0).all()
    assert (dv == 0).all()


def run_both_ways(case: Case, inputs: Inputs, tiles: Tiles) -> list[Tensor]:
    """Everything that the kernels give."""
    q, k, v = inputs.q, inputs.k, inputs.v
    out, lse = launch.forward(q, k, v, tiles, case.scale, case.window)
    gradients = launch.backward(
        inputs.d_out, q, k, v, out, lse, tiles, case.scale, case.window, inputs.rotary
    )
    return [out, lse, *gradients]


def test_views_of_one_projection_give_the_numbers_of_their_copies() -> None:
    case = Case(lengths=(20, 3), head_dim=24, n_heads=2)
    copies = make_inputs(case)
    projection = framed(torch.cat([x.flatten(1) for x in (copies.q, copies.k, copies.v)], -1))
    q, k, v = (x.unflatten(-1, (2, 24)) for x in projection.chunk(3, -1))
    assert not q.is_contiguous()
    views = replace(copies, q=q, k=k, v=v)
    pairs = zip(run_both_ways(case, views, case.tiles), run_both_ways(case, copies, case.tiles), strict=True)
    assert all(torch.equal(found, expected) for found, expected in pairs)


def check_views(case: Case, inputs: Inputs, tiles: Tiles, expected: Inputs) -> None:
    pairs = zip(run_both_ways(case, inputs, tiles), run_both_ways(case, expected, case.tiles), strict=True)
    assert all(torch.equal(found, wanted) for found, wanted in pairs)


def test_columns_of_a_head_that_do_not_lie_side_by_side_are_copied() -> None:
    case = Case(lengths=(20, 3), n_heads=2)
    inputs = make_inputs(case)
    views = replace(inputs, q=every_other(inputs.q), k=every_other(inputs.k), v=every_other(inputs.v))
    check_views(case, views, case.tiles, inputs)


def test_angles_positions_and_tiles_may_be_views() -> None:
    case = Case(lengths=(20, 3), rotary=True)
    inputs = make_inputs(case)
    assert inputs.rotary is not None
    views = replace(inputs, rotary=Rotary(*(every_other(x) for x in inputs.rotary)))
    check_views(case, views, Tiles(*(every_other(x) for x in case.tiles)), inputs)


def test_a_gradient_without_memory_of_its_own_is_taken() -> None:
    case = Case(lengths=(20,))
    inputs = make_inputs(case)
    expanded = replace(inputs, d_out=torch.ones(()).expand(inputs.q.shape))
    copied = replace(inputs, d_out=torch.ones(inputs.q.shape))
    pairs = zip(
        run_both_ways(case, expanded, case.tiles), run_both_ways(case, copied, case.tiles), strict=True
    )
    assert all(torch.equal(found, expected) for found, expected in pairs)


def test_the_order_of_programs_changes_no_bit() -> None:
    """So none writes a row of another, and none adds to what another wrote: every run gives the same."""
    case = Case(lengths=(70, 1, 129), dtype=torch.float16, window=(20, 9))
    inputs = make_inputs(case)
    backwards = Tiles(*(table.flip(0) for table in case.tiles))
    pairs = zip(run_both_ways(case, inputs, case.tiles), run_both_ways(case, inputs, backwards), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


@pytest.mark.parametrize("sign", [1, -1], ids=["large", "very negative"])
def test_scores_far_from_zero_neither_overflow_nor_vanish(sign: int) -> None:
    """Weights are relative to the largest score; padding, whose score is 0, must not count beside scores of
    -400, from which 2^400 would lead back to it.
    """
    case = Case(lengths=(37, 3))
    inputs = make_inputs(case)
    inputs = replace(inputs, q=inputs.q + 12, k=inputs.k + sign * 12)
    exact_out, exact_lse = exact_attention(inputs.q.double(), inputs.k.double(), inputs.v.double(), case)
    assert (sign * exact_lse > 300).all()
    out, lse, *gradients = run_both_ways(case, inputs, case.tiles)
    rounding = 400 * LIMITS[torch.float32]  # of a score of 400
    assert relative_error(out, exact_out) < rounding
    assert relative_error(lse, exact_lse) < LIMITS[torch.float32]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_sums_are_carried_in_float32() -> None:
    """Of equal values with equal weights they give the value, to the last bit of bfloat16."""
    case = Case(lengths=(256,), dtype=torch.bfloat16)
    inputs = make_inputs(case)
    value, gradient = torch.randn(2, 16).to(torch.bfloat16)
    nothing = torch.zeros_like(inputs.q)
    alike = [x.expand(256, 1, 16).contiguous() for x in (value, gradient)]
    inputs = replace(inputs, q=nothing, k=nothing, v=alike[0], d_out=alike[1])
    out, _, dq, dk, dv = run_both_ways(case, inputs, case.tiles)
    assert torch.equal(out, alike[0])
    assert torch.equal(dv, alike[1])
    assert dq.abs().max() < 1e-6
    assert dk.abs().max() < 1e-6


def test_rows_beyond_the_window_are_not_even_read() -> None:
    """So that the cost grows with the window and not with the sequence."""
    case = Case(lengths=(300,), window=(16, 16))
    inputs = make_inputs(case)
    for x in (inputs.k, inputs.v, inputs.q, inputs.d_out):
        x[-50:] = torch.nan
    out, _, *gradients = run_both_ways(case, inputs, case.tiles)
    for x in (out, *gradients):
        assert x[:100].isfinite().all()
        assert x[-50:].isnan().all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "window"),
    [*((dtype, (-1, -1)) for dtype in DTYPES), (torch.bfloat16, (100, 100)), (torch.bfloat16, (-1, 0))],
    ids=str,
)
def test_long_sequences_are_right(dtype: torch.dtype, window: tuple[int, int]) -> None:
    check(Case(lengths=(1, 63, 111, 1000), dtype=dtype, window=window, head_dim=64, rotary=True))


@pytest.mark.slow
@pytest.mark.parametrize("rotary", [False, True], ids=["as they are", "turned"])
@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("head_dim", [24, 64, 128])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes_head_dims_windows_and_rotary_go_together(
    dtype: torch.dtype, head_dim: int, window: tuple[int, int], rotary: bool
) -> None:
    check(Case(lengths=(1, 0, 67), head_dim=head_dim, dtype=dtype, window=window, rotary=rotary))


@pytest.mark.slow
@pytest.mark.parametrize("head_dim", range(2, 130, 2))
def test_every_even_head_dim_is_right(head_dim: int) -> None:
    check(Case(lengths=(19,), head_dim=head_dim, rotary=True))


@pytest.mark.slow
@pytest.mark.parametrize("head_dim", [32, 64, 128])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_100", "sm_120"])
def test_the_block_sizes_of_each_architecture_are_right(
    architecture: str, dtype: torch.dtype, head_dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "table_name", lambda device: architecture)
    monkeypatch.setattr(launch, "block_sizes", tables.block_sizes.__wrapped__)  # without its memory
    check(Case(lengths=(1, 129, 0, 200), head_dim=head_dim, dtype=dtype, window=(70, -1), rotary=True))
