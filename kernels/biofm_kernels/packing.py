"""Packed batches: what operations need to know about them. This is how far each token rotates, where
sequences begin and end, and how a kernel's programs share the rows.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

TILE = 128  # The most rows that one program of a kernel owns; block sizes divide it.


class Rotary(NamedTuple):
    """Holds rotary position embedding (Su et al. 2021, section 3.2.2).

    It rotates (x1, x2), the halves of each head, to (x1 cos - x2 sin, x2 cos + x1 sin).

    Attributes:
        cos: The cosines of each position's angles, in float32.
        sin: The sines of each position's angles, in float32.
        q_positions: The position of each row of q, from 0.
        k_positions: The position of each row of k, from 0.
    """

    cos: Float[Tensor, "positions half_head_dim"]
    sin: Float[Tensor, "positions half_head_dim"]
    q_positions: Int[Tensor, " queries"]
    k_positions: Int[Tensor, " tokens"]


class Packing(NamedTuple):
    """Holds the places where sequences begin and end.

    Attributes:
        cu_seqlens: The bounds of the sequences, int32: tokens ``cu_seqlens[i]`` up to ``cu_seqlens[i + 1]``
            are sequence i.
        cu_queries: The bounds of the sequences in q, int32: rows ``cu_queries[i]`` up to ``cu_queries[i +
            1]`` belong to sequence i.
        max_seqlen: A length that no sequence exceeds, in tokens.
    """

    cu_seqlens: Int[Tensor, " sequences_plus_one"]
    cu_queries: Int[Tensor, " sequences_plus_one"]
    max_seqlen: int


class Tiles(NamedTuple):
    """Holds the work that the programs of a kernel share: a row is one tile of at most 128 rows of one
    sequence.

    The columns are: the first row of the tile; the end of its sequence's rows; the first and the end of the
    rows that it is multiplied with (keys for a tile of queries, queries for a tile of keys). A tile whose
    first row is not before its end is empty.

    Attributes:
        of_queries: The tiles for kernels whose programs own queries.
        of_keys: The tiles for kernels whose programs own keys.
    """

    of_queries: Int[Tensor, "query_tiles 4"]
    of_keys: Int[Tensor, "key_tiles 4"]


def tile(
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    n_tokens: int,
    cu_queries: Int[Tensor, " sequences_plus_one"],
    n_queries: int,
) -> Tiles:
    """Make the tiles of a batch. They are made once and used by every layer.

    The device is never waited for: there are as many tiles as there can be at most, and the last ones are
    empty.

    Args:
        cu_seqlens: The bounds of the sequences, int32.
        n_tokens: The number of tokens of the batch.
        cu_queries: The bounds of the sequences in q, int32.
        n_queries: The number of rows of q.
    """
    return Tiles(_table(cu_queries, n_queries, cu_seqlens), _table(cu_seqlens, n_tokens, cu_queries))


def _table(cu_rows: Tensor, n_rows: int, cu_others: Tensor) -> Tensor:
    """Make the tiles of the rows that programs own, beside the rows that these are multiplied with."""
    n_sequences = len(cu_rows) - 1
    if not n_sequences:
        return cu_rows.new_empty(0, 4)
    n_tiles = (cu_rows.diff() + (TILE - 1)) // TILE
    ends = n_tiles.cumsum(0)
    number = torch.arange(n_rows // TILE + n_sequences, device=cu_rows.device)
    sequence = torch.searchsorted(ends, number, right=True).clamp_(max=n_sequences - 1)
    first = cu_rows[sequence] + (number - (ends - n_tiles)[sequence]) * TILE
    columns = (first, cu_rows[sequence + 1], cu_others[sequence], cu_others[sequence + 1])
    return torch.stack(columns, 1).to(torch.int32)
