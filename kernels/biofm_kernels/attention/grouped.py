"""Computes packed attention by torch's kernel for the CPU, one call for each run of equal lengths.

There is no padding: neighbours of equal length form a batch, which is a view of the packed rows, so nothing
is copied. The inputs are 4-D because the kernel takes no others. With a window, a sequence is cut into blocks
of queries, each with the keys that it can see: the cost grows with the window, not with the square of the
length.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from biofm_kernels.attention.reference import CAUSAL, EVERYTHING, Keys, Queries, Sums, Window, sees
from biofm_kernels.packing import Packing
from biofm_kernels.precision import exact_dtype

LEAST_BLOCK = 128  # Queries in a block; a window wider than this makes larger blocks.


def forward(
    q: Queries,
    k: Keys,
    v: Keys,
    packing: Packing,
    scale: float,
    window: Window,
) -> tuple[Queries, Sums]:
    """Compute the same as ``reference.forward``."""
    out = torch.empty(q.shape, dtype=q.dtype)
    lse = torch.empty(q.shape[1], q.shape[0], dtype=exact_dtype(q))
    for piece in _pieces(packing, window):
        if not piece.n_keys:
            piece.of_queries(out).zero_()
            piece.of_sums(lse).fill_(torch.inf)
            continue
        mixed, sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            piece.of_queries(q),
            piece.of_keys(k),
            piece.of_keys(v),
            is_causal=piece.is_causal,
            attn_mask=piece.mask(q.dtype),
            scale=scale,
        )
        piece.of_queries(out).copy_(mixed)
        piece.of_sums(lse).copy_(sums)
    return out, lse


def backward(
    d_out: Queries,
    q: Queries,
    k: Keys,
    v: Keys,
    out: Queries,
    lse: Sums,
    packing: Packing,
    scale: float,
    window: Window,
) -> tuple[Queries, Keys, Keys]:
    """Compute the same as ``reference.backward``."""
    d_q, d_k, d_v = (x.new_zeros(x.shape) for x in (q, k, v))
    for piece in _pieces(packing, window):
        if not piece.n_keys:
            continue
        gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            piece.of_queries(d_out),
            piece.of_queries(q),
            piece.of_keys(k),
            piece.of_keys(v),
            piece.of_queries(out),
            piece.of_sums(lse),
            0.0,
            piece.is_causal,
            attn_mask=piece.mask(q.dtype),
            scale=scale,
        )
        piece.of_queries(d_q).copy_(gradients[0])
        piece.of_keys(d_k).add_(gradients[1])  # Blocks of a window share keys, so gradients add up.
        piece.of_keys(d_v).add_(gradients[2])
    return d_q, d_k, d_v


class _Piece(NamedTuple):
    """Describes one call of the kernel: ``n`` neighbours with ``n_queries`` queries and ``n_keys`` keys each.

    With a ``window``, query i sees the keys around key i + ``ahead``.
    """

    first_query: int
    first_key: int
    n: int
    n_queries: int
    n_keys: int
    is_causal: bool = False
    window: Window = EVERYTHING
    ahead: int = 0

    def of_queries(self, x: Tensor) -> Tensor:
        """Return the queries' rows of this call as a batch."""
        return _batched(x, self.first_query, self.n, self.n_queries)

    def of_keys(self, x: Tensor) -> Tensor:
        """Return the keys' rows of this call as a batch."""
        return _batched(x, self.first_key, self.n, self.n_keys)

    def of_sums(self, lse: Tensor) -> Tensor:
        """Reshape (heads, queries) to (n, heads, n_queries), a view."""
        rows = lse[:, self.first_query : self.first_query + self.n * self.n_queries]
        sums: Tensor = rows.unflatten(1, (self.n, self.n_queries)).transpose(0, 1)
        return sums

    def mask(self, dtype: torch.dtype) -> Tensor | None:
        """Return what is added to the scores: 0 where a query sees a key, else -inf. None if each sees all
        keys.
        """
        if self.window == EVERYTHING:
            return None
        seen = sees(self.n_queries, self.n_keys, self.window, torch.device("cpu"), self.ahead)
        return torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, -torch.inf)


def _batched(x: Tensor, first: int, n: int, length: int) -> Tensor:
    """Reshape (rows, heads, head_dim) to (n, heads, length, head_dim), a view."""
    batched: Tensor = x[first : first + n * length].unflatten(0, (n, length)).transpose(1, 2)
    return batched


def _pieces(packing: Packing, window: Window) -> Iterator[_Piece]:
    """Yield the calls of the kernel for all sequences that have a query. ``n_keys`` is 0 for one without
    keys.
    """
    first_query = first_key = 0
    lengths = zip(packing.cu_queries.diff().tolist(), packing.cu_seqlens.diff().tolist(), strict=True)
    for (n_queries, n_keys), members in groupby(lengths):
        n = len(list(members))
        if n_queries:
            run = _Piece(first_query, first_key, n, n_queries, n_keys)
            if window == EVERYTHING or not n_keys:
                yield run
            elif window == CAUSAL:
                yield run._replace(is_causal=True)
            else:
                yield from _blocks(run, window)
        first_query += n * n_queries
        first_key += n * n_keys


def _blocks(run: _Piece, window: Window) -> Iterator[_Piece]:
    """Yield blocks of the queries of each sequence, with all keys that at least one of the queries can
    see.
    """
    left, right = (run.n_keys if side < 0 else side for side in window)
    size = max(LEAST_BLOCK, min(left + right, run.n_keys))
    for number in range(run.n):
        start = number * run.n_keys
        for first in range(0, run.n_queries, size):
            last = min(first + size, run.n_queries)
            keys = max(0, first - left), min(run.n_keys, last + right)
            yield _Piece(
                run.first_query + start + first, run.first_key + start + keys[0], 1, last - first,
                keys[1] - keys[0], window=window, ahead=first - keys[0],
            )  # fmt: skip
