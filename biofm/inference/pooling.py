"""Pooling: from a vector a token to the rows of a chunk of sequences, in their order.

The pieces of a sequence are pooled on the device, batch by batch, and joined on the CPU. Special tokens are
left out, except the first one, <cls>, where that is what is asked for.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from biofm.core.choices import PoolName
from biofm.core.errors import OptionError
from biofm.inference.windows import Piece
from biofm.modalities import Tokenizer
from biofm.nn import EncoderConfig, PackedBatch


def check_pool(pool: str, config: EncoderConfig, tokenizer: Tokenizer) -> None:
    """Raise OptionError where <cls> is asked for and says nothing about a sequence."""
    if pool == "cls" and not tokenizer.n_before:
        what = "no special token stands before the sequences of this model"
        raise OptionError(what, where="--pool", remedy="Give mean, max or none")
    if pool == "cls" and config.causal:
        words = tokenizer.modality.words
        what = f"in a causal model <cls> sees no {words.unit}, and is the same for every {words.item}"
        raise OptionError(what, where="--pool", remedy="Give mean, max or none")


class ChunkRows(Protocol):
    """Takes the hidden states of batches of pieces in any order, and gives the float32 rows of the chunk."""

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None: ...

    def values(self, n_units: Sequence[int]) -> NDArray[np.float32]: ...


def rows_of_chunk(pool: PoolName, n_sequences: int, d_model: int) -> ChunkRows:
    """The empty rows of a chunk, to be filled batch by batch."""
    return UnitRows(n_sequences) if pool == "none" else PooledRows(pool, n_sequences, d_model)


class PooledRows:
    """One row a sequence: sums and first tokens of its pieces are averaged, maxima compared."""

    def __init__(self, pool: PoolName, n_sequences: int, d_model: int) -> None:
        self._pool = pool
        self._values = torch.full((n_sequences, d_model), -torch.inf if pool == "max" else 0.0)
        self._n_pieces = torch.zeros(n_sequences)

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None:
        pooled = PIECE_POOLS[self._pool](hidden, batch, kept_tokens(members, batch)).cpu()  # (pieces, d)
        owners = torch.tensor([piece.place for piece in members])
        self._n_pieces.index_add_(0, owners, torch.ones(len(members)))
        if self._pool == "max":
            raise_to(self._values, owners, pooled)
        else:
            self._values.index_add_(0, owners, pooled)

    def values(self, n_units: Sequence[int]) -> NDArray[np.float32]:
        if self._pool == "mean":
            self._values /= torch.tensor(n_units)[:, None]
        elif self._pool == "cls":
            self._values /= self._n_pieces[:, None]
        return self._values.numpy()


class UnitRows:
    """One row a unit, such as a residue; the pieces of a sequence are joined in order."""

    def __init__(self, n_sequences: int) -> None:
        self._pieces: list[list[NDArray[np.float32]]] = [[] for _ in range(n_sequences)]

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None:
        starts = batch.cu_seqlens.tolist()
        for piece, start in zip(members, starts, strict=False):
            # Windows of one sequence have one length, and keep their order through the stable sort by length.
            self._pieces[piece.place].append(hidden[start + piece.first : start + piece.stop].cpu().numpy())

    def values(self, n_units: Sequence[int]) -> NDArray[np.float32]:
        return np.concatenate([rows for pieces in self._pieces for rows in pieces])


def kept_tokens(members: list[Piece], batch: PackedBatch) -> Tensor:
    """Which tokens of the batch are units that count in their window; bool (tokens,)."""
    owners = batch.sequence_of_token()
    first = torch.tensor([piece.first for piece in members], device=owners.device)
    stop = torch.tensor([piece.stop for piece in members], device=owners.device)
    return (batch.positions >= first[owners]) & (batch.positions < stop[owners])


def sum_of_units(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    totals = hidden.new_zeros(batch.n_sequences, hidden.shape[1])
    return totals.index_add_(0, batch.sequence_of_token(), hidden * kept[:, None])


def largest_of_units(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    lowest = hidden.new_full((batch.n_sequences, hidden.shape[1]), -torch.inf)
    return raise_to(lowest, batch.sequence_of_token(), hidden.masked_fill(~kept[:, None], -torch.inf))


def first_token(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    return hidden[batch.cu_seqlens[:-1].long()]


def raise_to(
    highest: Float[Tensor, "owners d"], owners: Int[Tensor, " rows"], rows: Float[Tensor, "rows d"]
) -> Float[Tensor, "owners d"]:
    """Raise every value of ``highest``, in place, to the largest of its owner's rows."""
    return highest.scatter_reduce_(0, owners[:, None].expand_as(rows), rows, "amax")


PIECE_POOLS: dict[str, Callable[[Tensor, PackedBatch, Tensor], Tensor]] = {
    "mean": sum_of_units,
    "max": largest_of_units,
    "cls": first_token,
}
"""What each pooling computes of one piece on the device; ``PooledRows`` makes the mean of the sums."""
