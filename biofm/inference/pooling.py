"""Pooling: the vectors of the tokens are combined into the rows of a chunk of sequences, in their order.

The pieces of a sequence are pooled on the device, batch by batch, and combined on the CPU. Special tokens are
left out, except the first one, <cls>, where the user asks for it.
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
    """Raise OptionError if the user asks for <cls> and it says nothing about a sequence.

    Args:
        pool: The pooling: "mean", "cls", "max" or "none".
        config: The model's shape; a causal model's <cls> sees no other token.
        tokenizer: The model's tokenizer, which may put no special token before a sequence.
    """
    if pool == "cls" and not tokenizer.n_before:
        what = "no special token stands before the sequences of this model"
        raise OptionError(what, where="--pool", remedy="Give mean, max or none")
    if pool == "cls" and config.causal:
        words = tokenizer.modality.words
        what = f"in a causal model <cls> sees no {words.unit}: it is the same for every {words.item}"
        raise OptionError(what, where="--pool", remedy="Give mean, max or none")


class ChunkRows(Protocol):
    """Takes the hidden states of pieces, in batches of any order, and returns the rows of the chunk."""

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None: ...

    def values(self, n_units: Sequence[int]) -> NDArray[np.float32]: ...


def rows_of_chunk(pool: PoolName, n_sequences: int, d_model: int) -> ChunkRows:
    """Return the empty rows of a chunk, which are then filled batch by batch."""
    return UnitRows(n_sequences) if pool == "none" else PooledRows(pool, n_sequences, d_model)


class PooledRows:
    """Holds one row for each sequence.

    The sums and the first tokens of a sequence's pieces are averaged; of their maxima the largest counts.
    """

    def __init__(self, pool: PoolName, n_sequences: int, d_model: int) -> None:
        self._pool = pool
        self._values = torch.full((n_sequences, d_model), -torch.inf if pool == "max" else 0.0)
        self._n_pieces = torch.zeros(n_sequences)

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None:
        """Add the pieces of one batch."""
        pooled = PIECE_POOLS[self._pool](hidden, batch, kept_tokens(members, batch)).cpu()  # (pieces, d)
        owners = torch.tensor([piece.place for piece in members])
        self._n_pieces.index_add_(0, owners, torch.ones(len(members)))
        if self._pool == "max":
            raise_to(self._values, owners, pooled)
        else:
            self._values.index_add_(0, owners, pooled)

    def values(self, n_units: Sequence[int]) -> NDArray[np.float32]:
        """Return the row of each sequence, given the number of units of each."""
        if self._pool == "mean":
            self._values /= torch.tensor(n_units)[:, None]
        elif self._pool == "cls":
            self._values /= self._n_pieces[:, None]
        return self._values.numpy()


class UnitRows:
    """Holds one row for each unit, such as a residue; the pieces of a sequence are joined in order."""

    def __init__(self, n_sequences: int) -> None:
        self._pieces: list[list[NDArray[np.float32]]] = [[] for _ in range(n_sequences)]

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None:
        """Add the pieces of one batch."""
        starts = batch.cu_seqlens.tolist()
        for piece, start in zip(members, starts, strict=False):
            # The windows of one sequence have one length, so the stable sort by length keeps their order.
            self._pieces[piece.place].append(hidden[start + piece.first : start + piece.stop].cpu().numpy())

    def values(self, n_units: Sequence[int]) -> NDArray[np.float32]:
        """Return the rows of all units, one sequence after the other."""
        return np.concatenate([rows for pieces in self._pieces for rows in pieces])


def kept_tokens(members: list[Piece], batch: PackedBatch) -> Tensor:
    """Return, for every token of the batch, whether it is a unit that counts in its window."""
    owners = batch.sequence_of_token()
    first = torch.tensor([piece.first for piece in members], device=owners.device)
    stop = torch.tensor([piece.stop for piece in members], device=owners.device)
    return (batch.positions >= first[owners]) & (batch.positions < stop[owners])


def sum_of_units(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    """Return the sum of the units that count, for each piece."""
    totals = hidden.new_zeros(batch.n_sequences, hidden.shape[1])
    return totals.index_add_(0, batch.sequence_of_token(), hidden * kept[:, None])


def largest_of_units(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    """Return the largest value of the units that count, for each piece and dimension."""
    lowest = hidden.new_full((batch.n_sequences, hidden.shape[1]), -torch.inf)
    return raise_to(lowest, batch.sequence_of_token(), hidden.masked_fill(~kept[:, None], -torch.inf))


def first_token(
    hidden: Float[Tensor, "tokens d"], batch: PackedBatch, kept: Bool[Tensor, " tokens"]
) -> Float[Tensor, "sequences d"]:
    """Return the vector of the first token of each piece."""
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
"""What each pooling computes of one piece on the device. ``PooledRows`` divides the sums for the mean."""
