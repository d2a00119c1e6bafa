"""Packed attention by torch's ``scaled_dot_product_attention``, one call for each run of equal lengths.

No padding and no mask: neighbours of equal length form a batch as a view of the packed rows, nothing is
copied in. The inputs are 4-D because torch's fast CPU kernel takes no others.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, cat
from torch.nn.functional import scaled_dot_product_attention


def attention(
    q: Float[Tensor, "queries heads head_dim"],
    k: Float[Tensor, "tokens heads head_dim"],
    v: Float[Tensor, "tokens heads head_dim"],
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    max_seqlen: int,
    cu_queries: Int[Tensor, " sequences_plus_one"] | None = None,
) -> Float[Tensor, "queries heads head_dim"]:
    """The same as ``reference.attention``."""
    outputs = [q[:0]]
    for run in _runs_of_equal_length(cu_seqlens, cu_seqlens if cu_queries is None else cu_queries):
        # (rows, heads, head_dim) -> (n, heads, length, head_dim), views
        queries = _batched(q, run.first_query, run.n, run.n_queries)
        keys, values = (_batched(x, run.first_token, run.n, run.length) for x in (k, v))
        mixed = scaled_dot_product_attention(queries, keys, values)
        outputs.append(mixed.transpose(1, 2).flatten(0, 1))
    return cat(outputs)


def _batched(x: Tensor, first: int, n: int, length: int) -> Tensor:
    batched: Tensor = x[first : first + n * length].unflatten(0, (n, length)).transpose(1, 2)
    return batched


class _Run(NamedTuple):
    """``n`` neighbours, each with ``length`` keys and ``n_queries`` queries."""

    first_token: int
    first_query: int
    n: int
    length: int
    n_queries: int


def _runs_of_equal_length(cu_seqlens: Tensor, cu_queries: Tensor) -> Iterator[_Run]:
    """Sequences without a token or without a query give nothing, and are in no run."""
    first_token = first_query = 0
    lengths = zip(cu_seqlens.diff().tolist(), cu_queries.diff().tolist(), strict=True)
    for (length, n_queries), members in groupby(lengths):
        n = len(list(members))
        if length and n_queries:
            yield _Run(first_token, first_query, n, length, n_queries)
        first_token += n * length
        first_query += n * n_queries
