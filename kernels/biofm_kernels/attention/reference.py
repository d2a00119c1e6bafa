"""Packed attention as the equation reads. Obvious and slow: what every other backend is compared with."""

from itertools import pairwise

from jaxtyping import Float, Int
from torch import Tensor, cat


def attention(
    q: Float[Tensor, "queries heads head_dim"],
    k: Float[Tensor, "tokens heads head_dim"],
    v: Float[Tensor, "tokens heads head_dim"],
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    max_seqlen: int,
    cu_queries: Int[Tensor, " sequences_plus_one"] | None = None,
) -> Float[Tensor, "queries heads head_dim"]:
    """softmax(q kᵀ / sqrt(head_dim)) v, one sequence and one head at a time (Vaswani et al. 2017, eq. 1)."""
    of_keys = cu_seqlens.tolist()
    of_queries = of_keys if cu_queries is None else cu_queries.tolist()
    outputs = [q[:0]]
    for (start, stop), (first, last) in zip(pairwise(of_keys), pairwise(of_queries), strict=True):
        queries = q[first:last].transpose(0, 1)  # (heads, queries, head_dim)
        keys, values = (x[start:stop].transpose(0, 1) for x in (k, v))  # (heads, length, head_dim)
        scores = queries @ keys.transpose(1, 2) * q.shape[-1] ** -0.5  # (heads, queries, length)
        outputs.append((scores.softmax(-1) @ values).transpose(0, 1))
    return cat(outputs)
