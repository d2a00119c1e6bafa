"""Kernels for the norm and rotation of q and k: one launch each way, and every row is read once and written
once.

A row is held as two blocks, the first and the second halves of its heads, each (heads, head_dim / 2) padded
to powers of two: rotation then needs no neighbour, and any even head_dim works. If an argument is None, this
is known when the kernel is compiled, and the code that depends on it is left out.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from biofm_kernels.numerics import rounded
from biofm_kernels.packing import Rotary
from biofm_kernels.qk_norm_rope.norm import QKNorm

# The most programs of the backward pass for q, and for k. Each sums the gradients of weight and bias over its
# rows.
BACKWARD_PROGRAMS = 512


def forward(
    q: Tensor, k: Tensor, norm: QKNorm | None, rotary: Rotary | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the same as ``reference.forward``."""
    q, k = _last_stride_one(q), _last_stride_one(k)
    outputs = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k)]
    n_stats = [0 if norm is None else len(x) for x in (q, k)]
    stats = [torch.empty(n, 2, dtype=torch.float32, device=q.device) for n in n_stats]
    n_programs = len(q) + len(k)
    if n_programs:
        shape = _Shape.of(q)
        kind, eps = (None, 0.0) if norm is None else (norm.kind, norm.eps)
        with torch.cuda.device_of(q):
            qk_norm_rope_forward[(n_programs,)](
                q, k, *outputs, *stats, *_parameters(norm), *_rotary(rotary),
                *q.stride()[:2], *k.stride()[:2], len(q), eps, kind, *shape, num_warps=shape.num_warps(),
            )  # fmt: skip
    return outputs[0], outputs[1], stats[0], stats[1]


def backward(
    d_q_out: Tensor,
    d_k_out: Tensor,
    q: Tensor,
    k: Tensor,
    q_stats: Tensor,
    k_stats: Tensor,
    norm: QKNorm | None,
    rotary: Rotary | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """Compute the same as ``reference.backward``."""
    if norm is None:
        back = None if rotary is None else rotary._replace(sin=-rotary.sin)  # Rotate by the opposite angle.
        d_q, d_k, _, _ = forward(d_q_out, d_k_out, None, back)
        return d_q, d_k, None, None, None, None
    inputs = [_last_stride_one(x) for x in (d_q_out, d_k_out, q, k)]
    d_q, d_k = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k))
    # Each program sums over q_rows or k_rows rows. No two write to one place, so the gradients never vary.
    q_rows, k_rows = (max(triton.cdiv(len(x), BACKWARD_PROGRAMS), 1) for x in (q, k))
    n_q_programs, n_k_programs = triton.cdiv(len(q), q_rows), triton.cdiv(len(k), k_rows)
    has_bias = norm.q_bias is not None
    sums = torch.empty(
        n_q_programs + n_k_programs, 1 + has_bias, norm.q_weight.numel(), dtype=torch.float32, device=q.device
    )
    if len(sums):
        shape = _Shape.of(q)
        strides = [stride for x in inputs for stride in x.stride()[:2]]
        with torch.cuda.device_of(q):
            qk_norm_rope_backward[(len(sums),)](
                *inputs, q_stats, k_stats, *_parameters(norm)[:2], *_rotary(rotary), d_q, d_k, sums,
                *strides, n_q_programs, len(q), len(k), q_rows, k_rows, norm.kind, has_bias, *shape,
                num_warps=shape.num_warps(),
            )  # fmt: skip
    of_q, of_k = (part.sum(0) for part in (sums[:n_q_programs], sums[n_q_programs:]))
    d_q_weight, d_k_weight = of_q[0].to(norm.q_weight.dtype), of_k[0].to(norm.k_weight.dtype)
    if norm.q_bias is None or norm.k_bias is None:
        return d_q, d_k, d_q_weight, d_k_weight, None, None
    return d_q, d_k, d_q_weight, d_k_weight, of_q[1].to(norm.q_bias.dtype), of_k[1].to(norm.k_bias.dtype)


class _Shape(NamedTuple):
    """Holds the shape of a row: its heads and the halves of its heads, as they are and as they are padded."""

    heads: int
    half: int
    padded_heads: int
    padded_half: int

    @classmethod
    def of(cls, x: Tensor) -> "_Shape":
        """Return the shape of a tensor's rows."""
        heads, half = x.shape[1], x.shape[2] // 2
        return cls(heads, half, triton.next_power_of_2(heads), triton.next_power_of_2(half))

    def num_warps(self) -> int:
        """Return the number of warps that a program of this size runs in."""
        return min(max(self.padded_heads * self.padded_half // 256, 1), 16)


def _last_stride_one(x: Tensor) -> Tensor:
    """Copy a tensor whose columns do not lie side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _parameters(norm: QKNorm | None) -> list[Tensor | None]:
    """Return the parameters of both norms; None for those that do not exist."""
    if norm is None:
        return [None] * 4
    parameters = norm.q_weight, norm.k_weight, norm.q_bias, norm.k_bias
    return [None if x is None else x.contiguous() for x in parameters]


def _rotary(rotary: Rotary | None) -> list[Tensor | None]:
    """Return the parts of the rotation; None for each without a rotation."""
    return [None] * 4 if rotary is None else [x.contiguous() for x in rotary]


@triton.jit(do_not_specialize=["n_queries"])
def qk_norm_rope_forward(
    q, k, q_out, k_out, q_stats, k_stats, q_weight, k_weight, q_bias, k_bias,
    cos, sin, q_positions, k_positions,
    q_row_stride, q_head_stride, k_row_stride, k_head_stride, n_queries, eps, KIND: tl.constexpr,
    HEADS: tl.constexpr, HALF: tl.constexpr, PADDED_HEADS: tl.constexpr, PADDED_HALF: tl.constexpr,
):  # fmt: skip
    """Normalise and rotate one row per program: first the rows of q, then those of k."""
    row = tl.program_id(0)
    if row < n_queries:
        _forward_row(
            row, q, q_out, q_stats, q_weight, q_bias, cos, sin, q_positions, q_row_stride, q_head_stride, eps,
            KIND, HEADS, HALF, PADDED_HEADS, PADDED_HALF,
        )  # fmt: skip
    else:
        _forward_row(
            row - n_queries, k, k_out, k_stats, k_weight, k_bias, cos, sin, k_positions, k_row_stride,
            k_head_stride, eps, KIND, HEADS, HALF, PADDED_HEADS, PADDED_HALF,
        )  # fmt: skip


@triton.jit
def _forward_row(
    row, x, out, stats, weight, bias, cos, sin, positions, row_stride, head_stride, eps, KIND: tl.constexpr,
    HEADS: tl.constexpr, HALF: tl.constexpr, PADDED_HEADS: tl.constexpr, PADDED_HALF: tl.constexpr,
):  # fmt: skip
    """Normalise and rotate one row."""
    width: tl.constexpr = 2 * HEADS * HALF
    row = row.to(tl.int64)
    head, column, inside = _places(HEADS, HALF, PADDED_HEADS, PADDED_HALF)
    places = row * row_stride + head * head_stride + column
    packed = head * (2 * HALF) + column  # Places in contiguous rows and in the norm's parameters.
    first, second = _load_halves(x + places, inside, HALF)
    if KIND is not None:
        mean = 0.0
        if KIND == "layer":
            mean = tl.sum(first + second) / width
            first = tl.where(inside, first - mean, 0.0)
            second = tl.where(inside, second - mean, 0.0)
        rstd = 1.0 / tl.sqrt(tl.sum(first * first + second * second) / width + eps)
        tl.store(stats + row * 2, mean)
        tl.store(stats + row * 2 + 1, rstd)
        first_weight, second_weight = _load_halves(weight + packed, inside, HALF)
        first, second = first * rstd * first_weight, second * rstd * second_weight
        if bias is not None:
            first_bias, second_bias = _load_halves(bias + packed, inside, HALF)
            first, second = first + first_bias, second + second_bias
    if cos is not None:
        cosine, sine = _load_angles(cos, sin, positions + row, column, HALF)
        first, second = first * cosine - second * sine, second * cosine + first * sine
    _store_halves(out + row * width + packed, first, second, inside, HALF)


@triton.jit(do_not_specialize=["n_q_programs", "n_queries", "n_tokens", "q_rows", "k_rows"])
def qk_norm_rope_backward(
    d_q_out, d_k_out, q, k, q_stats, k_stats, q_weight, k_weight,
    cos, sin, q_positions, k_positions, d_q, d_k, sums,
    d_q_row_stride, d_q_head_stride, d_k_row_stride, d_k_head_stride,
    q_row_stride, q_head_stride, k_row_stride, k_head_stride,
    n_q_programs, n_queries, n_tokens, q_rows, k_rows, KIND: tl.constexpr, HAS_BIAS: tl.constexpr,
    HEADS: tl.constexpr, HALF: tl.constexpr, PADDED_HEADS: tl.constexpr, PADDED_HALF: tl.constexpr,
):  # fmt: skip
    """Compute gradients in ``n_q_programs`` programs of ``q_rows`` rows of q each, then in those for k."""
    program = tl.program_id(0)
    sums += program.to(tl.int64) * ((1 + HAS_BIAS) * 2 * HEADS * HALF)
    if program < n_q_programs:
        _backward_rows(
            program * q_rows, min((program + 1) * q_rows, n_queries), d_q_out, q, q_stats, q_weight,
            cos, sin, q_positions, d_q, sums, d_q_row_stride, d_q_head_stride, q_row_stride, q_head_stride,
            KIND, HAS_BIAS, HEADS, HALF, PADDED_HEADS, PADDED_HALF,
        )  # fmt: skip
    else:
        program -= n_q_programs
        _backward_rows(
            program * k_rows, min((program + 1) * k_rows, n_tokens), d_k_out, k, k_stats, k_weight,
            cos, sin, k_positions, d_k, sums, d_k_row_stride, d_k_head_stride, k_row_stride, k_head_stride,
            KIND, HAS_BIAS, HEADS, HALF, PADDED_HEADS, PADDED_HALF,
        )  # fmt: skip


@triton.jit
def _backward_rows(
    start, stop, d_out, x, stats, weight, cos, sin, positions, d_x, sums,
    d_row_stride, d_head_stride, row_stride, head_stride, KIND: tl.constexpr, HAS_BIAS: tl.constexpr,
    HEADS: tl.constexpr, HALF: tl.constexpr, PADDED_HEADS: tl.constexpr, PADDED_HALF: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of some rows, and the sums of the weight's and the bias's gradients over them."""
    width: tl.constexpr = 2 * HEADS * HALF
    head, column, inside = _places(HEADS, HALF, PADDED_HEADS, PADDED_HALF)
    packed = head * (2 * HALF) + column
    first_weight, second_weight = _load_halves(weight + packed, inside, HALF)
    first_of_weight = tl.zeros([PADDED_HEADS, PADDED_HALF], tl.float32)
    second_of_weight = tl.zeros([PADDED_HEADS, PADDED_HALF], tl.float32)
    first_of_bias = tl.zeros([PADDED_HEADS, PADDED_HALF], tl.float32)
    second_of_bias = tl.zeros([PADDED_HEADS, PADDED_HALF], tl.float32)
    for number in range(start, stop):
        row = tl.cast(number, tl.int64)
        d_first, d_second = _load_halves(
            d_out + row * d_row_stride + head * d_head_stride + column, inside, HALF
        )
        if cos is not None:  # Rotate back by the angle of the forward pass.
            cosine, sine = _load_angles(cos, sin, positions + row, column, HALF)
            d_first, d_second = d_first * cosine + d_second * sine, d_second * cosine - d_first * sine
        first, second = _load_halves(x + row * row_stride + head * head_stride + column, inside, HALF)
        mean, rstd = tl.load(stats + row * 2), tl.load(stats + row * 2 + 1)
        first, second = (first - mean) * rstd, (second - mean) * rstd
        first_of_weight += d_first * first
        second_of_weight += d_second * second
        if HAS_BIAS:
            first_of_bias += d_first
            second_of_bias += d_second
        # Padding adds nothing to the sums: gradients and weights are 0 there.
        d_first, d_second = d_first * first_weight, d_second * second_weight
        along = tl.sum(d_first * first + d_second * second) / width
        mean_gradient = 0.0
        if KIND == "layer":
            mean_gradient = tl.sum(d_first + d_second) / width
        d_first = (d_first - first * along - mean_gradient) * rstd
        d_second = (d_second - second * along - mean_gradient) * rstd
        _store_halves(d_x + row * width + packed, d_first, d_second, inside, HALF)
    _store_halves(sums + packed, first_of_weight, second_of_weight, inside, HALF)
    if HAS_BIAS:
        _store_halves(sums + width + packed, first_of_bias, second_of_bias, inside, HALF)


@triton.jit
def _places(
    HEADS: tl.constexpr, HALF: tl.constexpr, PADDED_HEADS: tl.constexpr, PADDED_HALF: tl.constexpr
):  # fmt: skip
    """Return heads, columns of a half, and which of both exist."""
    head = tl.arange(0, PADDED_HEADS)[:, None]
    column = tl.arange(0, PADDED_HALF)[None, :]
    return head, column, (head < HEADS) & (column < HALF)


@triton.jit
def _load_halves(first, inside, HALF: tl.constexpr):
    """Load the first and the second halves of all heads of a row."""
    return (
        tl.load(first, mask=inside, other=0.0).to(tl.float32),
        tl.load(first + HALF, mask=inside, other=0.0).to(tl.float32),
    )


@triton.jit
def _store_halves(pointers, first, second, inside, HALF: tl.constexpr):
    """Store the first and the second halves of all heads of a row."""
    tl.store(pointers, rounded(first, pointers.dtype.element_ty), mask=inside)
    tl.store(pointers + HALF, rounded(second, pointers.dtype.element_ty), mask=inside)


@triton.jit
def _load_angles(cos, sin, position, column, HALF: tl.constexpr):
    """Load cos and sin at one position, the same for all heads."""
    angle = tl.load(position).to(tl.int64) * HALF + column
    there = column < HALF
    return tl.load(cos + angle, mask=there, other=0.0), tl.load(sin + angle, mask=there, other=0.0)
