"""Packed attention by torch's ``scaled_dot_product_attention``, one call for each run of equal lengths.

No padding and no mask: neighbours of equal length form a batch as a view of the packed rows, nothing is
copied in. The inputs are 4-D because torch's fast CPU kernel takes no others.
"""

from collections.abc import Iterator
from itertools import groupby

from jaxtyping import Float, Int
from torch import Tensor, cat
from torch.nn.functional import scaled_dot_product_attention


def attention(
    q: Float[Tensor, "tokens heads head_dim"],
    k: Float[Tensor, "tokens heads head_dim"],
    v: Float[Tensor, "tokens heads head_dim"],
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    max_seqlen: int,
) -> Float[Tensor, "tokens heads head_dim"]:
    """The same as ``reference.attention``."""
    outputs = [v[:0]]
    for start, n, length in _runs_of_equal_length(cu_seqlens):
        rows = slice(start, start + n * length)
        # (tokens, heads, head_dim) -> (n, heads, length, head_dim), a view
        queries, keys, values = (x[rows].unflatten(0, (n, length)).transpose(1, 2) for x in (q, k, v))
        mixed = scaled_dot_product_attention(queries, keys, values)
        outputs.append(mixed.transpose(1, 2).flatten(0, 1))
    return cat(outputs)


def _runs_of_equal_length(cu_seqlens: Tensor) -> Iterator[tuple[int, int, int]]:
    """(first token, number of sequences, their length) of each run; empty sequences have no tokens and no
    run.
    """
    start = 0
    for length, run in groupby(cu_seqlens.diff().tolist()):
        n = len(list(run))
        if length:
            yield start, n, length
        start += n * length
