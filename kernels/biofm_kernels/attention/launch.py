"""Launches biofm's own attention kernels: FlashAttention-2 (Dao 2023) over packed sequences. The backward
pass also rotates gradients back.

The mathematics is in ``README.md`` beside this file.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from biofm_kernels.attention.backward import (
    attention_backward_keys,
    attention_backward_queries,
    attention_delta,
)
from biofm_kernels.attention.forward import attention_forward
from biofm_kernels.attention.head import padded_half
from biofm_kernels.attention.reference import Keys, Queries, Sums, Window
from biofm_kernels.configs import LARGEST_HEAD_DIM, block_sizes
from biofm_kernels.packing import TILE, Rotary, Tiles


def forward(q: Queries, k: Keys, v: Keys, tiles: Tiles, scale: float, window: Window) -> tuple[Queries, Sums]:
    """Compute attention over packed sequences: softmax(scale q kᵀ) v within each sequence, and the natural
    logarithm of the softmax's sum.

    A query at place i of its sequence sees the keys from ``i - window[0]`` to ``i + window[1]``; -1 means no
    bound. A query that sees no key gives 0 and a log-sum of +inf.
    """
    left, right = _bounds(q, k, v, scale, window)
    (q, k, v), tiles = _readable(q, k, v), Tiles(*_packed(tiles))
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    lse = torch.empty(q.shape[1], len(q), dtype=torch.float32, device=q.device)
    sizes = _sizes("attention_forward", q)
    with torch.cuda.device_of(q):
        attention_forward[_grid(tiles.of_queries, sizes["BLOCK_Q"], q)](
            q, k, v, out, lse, tiles.of_queries, len(q), scale, left, right,
            **_layout(q, k, v), **sizes,
        )  # fmt: skip
    return out, lse


def backward(
    d_out: Queries,
    q: Queries,
    k: Keys,
    v: Keys,
    out: Queries,
    lse: Sums,
    tiles: Tiles,
    scale: float,
    window: Window,
    rotary: Rotary | None = None,
) -> tuple[Queries, Keys, Keys]:
    """Compute the gradients of q, k and v, the same at every run: no two programs add to one number.

    Given ``rotary``, q and k come rotated, and the gradients are those of q and k before the rotation.
    """
    left, right = _bounds(q, k, v, scale, window)
    (q, k, v), tiles = _readable(q, k, v), Tiles(*_packed(tiles))
    assert all(x.is_contiguous() for x in (out, lse)), (
        "out and lse must be contiguous, as forward returns them"
    )
    d_out = d_out.contiguous()
    delta = torch.empty(lse.shape, dtype=torch.float32, device=q.device)
    dq, dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    cos, sin, q_positions, k_positions = (None,) * 4 if rotary is None else _packed(rotary)
    layout = _layout(q, k, v)
    with torch.cuda.device_of(q):
        sizes = _sizes("attention_delta", q)
        attention_delta[-(-len(q) // sizes["BLOCK_Q"]), q.shape[1]](
            d_out, out, delta, len(q), HEAD_DIM=layout["HEAD_DIM"], OUT_ROW=layout["OUT_ROW"], **sizes
        )
        sizes = _sizes("attention_backward_keys", q)
        attention_backward_keys[_grid(tiles.of_keys, sizes["BLOCK_K"], q)](
            d_out, q, k, v, lse, delta, dk, dv, tiles.of_keys, len(q), scale, left, right,
            cos, sin, k_positions, **layout, **sizes,
        )  # fmt: skip
        sizes = _sizes("attention_backward_queries", q)
        attention_backward_queries[_grid(tiles.of_queries, sizes["BLOCK_Q"], q)](
            d_out, q, k, v, lse, delta, dq, tiles.of_queries, len(q), scale, left, right,
            cos, sin, q_positions, **layout, **sizes,
        )  # fmt: skip
    return dq, dk, dv


def _bounds(q: Tensor, k: Tensor, v: Tensor, scale: float, window: Window) -> tuple[int | None, int | None]:
    """Check what the kernels rely on, and return the window as they take it: None for no bound."""
    assert q.shape[1:] == k.shape[1:] == v.shape[1:], "q, k and v differ in heads or head dim"
    assert len(k) == len(v), "k and v differ in length"
    assert q.dtype == k.dtype == v.dtype, "q, k and v differ in dtype"
    assert q.shape[2] in range(2, LARGEST_HEAD_DIM + 1, 2), "the head dim is odd or too large"
    assert scale > 0, "scale must be above 0: the kernel takes the largest product for the largest score"
    assert window == (-1, -1) or len(q) == len(k), "a window needs a query for each key"
    # The kernels add a bound to a row's number in 32 bits, so a bound must not be huge. A bound above the
    # number of keys reaches no further.
    left, right = (None if bound < 0 else min(bound, len(k)) for bound in window)
    return left, right


def _readable(*qkv: Tensor) -> list[Tensor]:
    """Copy tensors whose columns of a head do not lie side by side. Rows and heads may lie anywhere."""
    return [x if x.stride(2) == 1 else x.contiguous() for x in qkv]


def _packed(tensors: Iterable[Tensor]) -> list[Tensor]:
    """Copy tensors that have gaps between their values: the kernels do not know about gaps."""
    return [x.contiguous() for x in tensors]


def _sizes(kernel: str, q: Tensor) -> dict[str, int]:
    """Return the block sizes of a kernel for heads like those of q."""
    return block_sizes(kernel, 2 * padded_half(q.shape[2]), q.element_size(), q.device)


def _grid(tiles: Tensor, block: int, q: Tensor) -> tuple[int, int]:
    """Return how many programs to start: one for each block of each head."""
    assert TILE % block == 0
    return len(tiles) * (TILE // block), q.shape[1]


def _layout(q: Tensor, k: Tensor, v: Tensor) -> dict[str, int]:
    """Return the elements from row to row and from head to head of q, k and v.

    They are compiled into the kernels: a model has few layouts, and only a constant tells the compiler how
    rows of an odd head dim are aligned.
    """
    strides = {"Q": q, "K": k, "V": v}
    rows = {f"{name}_ROW": x.stride(0) for name, x in strides.items()}
    heads = {f"{name}_HEAD": x.stride(1) for name, x in strides.items()}
    return {"HEAD_DIM": q.shape[2], "OUT_ROW": q.shape[1] * q.shape[2], **rows, **heads}
