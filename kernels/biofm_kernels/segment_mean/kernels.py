"""Kernels for the mean of each sequence's rows: a program owns some columns of one sequence and walks its
rows.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from biofm_kernels.numerics import rounded

ROWS, COLUMNS = 32, 128  # A program holds this many at a time.


def forward(x: Tensor, cu_seqlens: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute the same as ``reference.forward``."""
    x = x if x.stride(-1) == 1 else x.contiguous()
    cu_seqlens = cu_seqlens.contiguous()
    n_sequences, width = len(cu_seqlens) - 1, x.shape[1]
    means = torch.empty(n_sequences, width, dtype=x.dtype, device=x.device)
    totals = torch.empty(n_sequences, dtype=torch.float32, device=x.device)
    weights = None if weights is None else weights.float().contiguous()
    if n_sequences:
        with torch.cuda.device_of(x):
            segment_mean_forward[n_sequences, triton.cdiv(width, COLUMNS)](
                x, cu_seqlens, weights, means, totals, x.stride(0), width, ROWS, COLUMNS
            )
    return means, totals


def backward(
    d_means: Tensor,
    cu_seqlens: Tensor,
    n_rows: int,
    weights: Tensor | None,
    totals: Tensor,
    x: Tensor | None,
    means: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    """Compute the same as ``reference.backward``."""
    d_means, cu_seqlens = d_means.contiguous(), cu_seqlens.contiguous()
    n_sequences, width = d_means.shape
    n_blocks = triton.cdiv(width, COLUMNS)
    d_x = torch.empty(n_rows, width, dtype=d_means.dtype, device=d_means.device)
    # Each block of columns has its own part of the weights' gradients; they are summed in a fixed order.
    parts = None
    if x is not None:
        x = x if x.stride(-1) == 1 else x.contiguous()
        parts = torch.empty(n_blocks, n_rows, dtype=torch.float32, device=d_means.device)
    weights = None if weights is None else weights.float().contiguous()
    if n_sequences:
        with torch.cuda.device_of(d_means):
            segment_mean_backward[n_sequences, n_blocks](
                d_means, cu_seqlens, weights, totals, x, means, d_x, parts,
                n_rows, 0 if x is None else x.stride(0), width, ROWS, COLUMNS,
            )  # fmt: skip
    return d_x, None if parts is None else parts.sum(0)


@triton.jit
def segment_mean_forward(
    x, cu_seqlens, weights, means, totals, row_stride, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """Compute the means and the sums of weights."""
    sequence, start, stop = _sequence(cu_seqlens)
    column, there = _columns(width, COLUMNS)
    sums = tl.zeros([ROWS, COLUMNS], tl.float32)
    counts = tl.zeros([ROWS], tl.float32)
    for first in range(start, stop, ROWS):
        row, inside = _rows(first, stop, ROWS)
        block = tl.load(
            x + row[:, None] * row_stride + column[None, :], mask=inside[:, None] & there[None, :], other=0.0
        ).to(tl.float32)
        if weights is not None:
            weight = tl.load(weights + row, mask=inside, other=0.0)
            counts += weight
            block *= weight[:, None]
        sums += block
    total = tl.sum(counts)
    if weights is None:
        total = (stop - start).to(tl.float32)
    mean = tl.sum(sums, 0) * _inverse(total)
    tl.store(means + sequence * width + column, rounded(mean, means.dtype.element_ty), mask=there)
    tl.store(totals + sequence, total, mask=tl.program_id(1) == 0)


@triton.jit(do_not_specialize=["n_rows"])
def segment_mean_backward(
    d_means, cu_seqlens, weights, totals, x, means, d_x, parts,
    n_rows, row_stride, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of x and, if x is given, the parts of the weights' gradients."""
    sequence, start, stop = _sequence(cu_seqlens)
    column, there = _columns(width, COLUMNS)
    place = sequence * width + column
    share = tl.load(d_means + place, mask=there, other=0.0).to(tl.float32) * _inverse(
        tl.load(totals + sequence)
    )
    if x is not None:
        mean = tl.load(means + place, mask=there, other=0.0).to(tl.float32)
    for first in range(start, stop, ROWS):
        row, inside = _rows(first, stop, ROWS)
        filled = inside[:, None] & there[None, :]
        weight = inside.to(tl.float32)
        if weights is not None:
            weight = tl.load(weights + row, mask=inside, other=0.0)
        d_row = rounded(weight[:, None] * share[None, :], d_x.dtype.element_ty)
        tl.store(d_x + row[:, None] * width + column[None, :], d_row, mask=filled)
        if x is not None:
            block = tl.load(x + row[:, None] * row_stride + column[None, :], mask=filled, other=0.0)
            # Columns behind the last have a share of 0, so they add nothing.
            along = tl.sum((block.to(tl.float32) - mean[None, :]) * share[None, :], 1)
            tl.store(parts + tl.program_id(1).to(tl.int64) * n_rows + row, along, mask=inside)


@triton.jit
def _sequence(cu_seqlens):
    """Return the program's sequence, and where its rows start and stop."""
    sequence = tl.program_id(0).to(tl.int64)
    return sequence, tl.load(cu_seqlens + sequence), tl.load(cu_seqlens + sequence + 1)


@triton.jit
def _columns(width, COLUMNS: tl.constexpr):
    """Return the program's columns, and which of them exist."""
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    return column, column < width


@triton.jit
def _rows(first, stop, ROWS: tl.constexpr):
    """Return ``ROWS`` rows, and which of them are before ``stop``."""
    row = first + tl.arange(0, ROWS)
    return row.to(tl.int64), row < stop


@triton.jit
def _inverse(total):
    """Compute 1 / total; 0 where no row counts."""
    return tl.where(total == 0.0, 0.0, 1.0 / tl.where(total == 0.0, 1.0, total))
