"""What operations on a packed batch are told of it: how far each token turns, and how the rows are shared out
among the programs of a kernel.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

TILE = 128  # rows that one program of a kernel owns at most; block sizes divide it


class Rotary(NamedTuple):
    """Rotary position embedding (Su et al. 2021, section 3.2.2): cos and sin of each position's angles,
    float32, and the position of each row of q and of k.

    It turns (x1, x2), the halves of each head, to (x1 cos - x2 sin, x2 cos + x1 sin).
    """

    cos: Float[Tensor, "positions half_head_dim"]
    sin: Float[Tensor, "positions half_head_dim"]
    q_positions: Int[Tensor, " queries"]
    k_positions: Int[Tensor, " tokens"]


class Packing(NamedTuple):
    """Where sequences begin and end: tokens ``cu_seqlens[i]`` up to ``cu_seqlens[i + 1]`` are sequence i, of
    which rows ``cu_queries[i]`` up to ``cu_queries[i + 1]`` of q ask. Both int32; none is longer than
    ``max_seqlen``.
    """

    cu_seqlens: Int[Tensor, " sequences_plus_one"]
    cu_queries: Int[Tensor, " sequences_plus_one"]
    max_seqlen: int


class Tiles(NamedTuple):
    """Work for the programs of a kernel that owns queries, and of one that owns keys.

    Each row is: first row of the tile, end of its sequence's rows; first and end of the rows that these meet
    (keys, where they are queries). A tile whose first row is not before its end is empty.
    """

    of_queries: Int[Tensor, "query_tiles 4"]
    of_keys: Int[Tensor, "key_tiles 4"]


def tile(
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    n_tokens: int,
    cu_queries: Int[Tensor, " sequences_plus_one"],
    n_queries: int,
) -> Tiles:
    """Made once for a batch, used by every layer. The device is asked nothing: there are as many tiles as
    there can be at the most, and the last ones are empty.
    """
    return Tiles(_table(cu_queries, n_queries, cu_seqlens), _table(cu_seqlens, n_tokens, cu_queries))


def _table(cu_rows: Tensor, n_rows: int, cu_others: Tensor) -> Tensor:
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
