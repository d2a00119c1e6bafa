"""Collects what the batches of a chunk give, in whatever order they run, into rows in the order of the
records.
"""

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from biofm.core.choices import PoolName
from biofm.inference.pooling import PIECE_POOLS, raise_to
from biofm.inference.windows import Piece
from biofm.nn import PackedBatch


class Gather(Protocol):
    """Takes the hidden states of packed pieces; gives float32 rows at the end."""

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None: ...

    def rows(self, n_residues: list[int]) -> NDArray[np.float32]: ...


def gather_for(pool: PoolName, n_records: int, d_model: int) -> Gather:
    return ResidueRows(n_records) if pool == "none" else ProteinRows(pool, n_records, d_model)


class ProteinRows:
    """One row a protein: pieces are pooled on the device; sums and first tokens of windows are then averaged,
    maxima compared.
    """

    def __init__(self, pool: PoolName, n_records: int, d_model: int) -> None:
        self.pool = pool
        self.values = torch.full((n_records, d_model), -torch.inf if pool == "max" else 0.0)
        self.n_pieces = torch.zeros(n_records)

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None:
        pooled = PIECE_POOLS[self.pool](hidden, batch, kept_tokens(members, batch)).cpu()  # (pieces, d)
        owners = torch.tensor([piece.record for piece in members])
        self.n_pieces.index_add_(0, owners, torch.ones(len(members)))
        if self.pool == "max":
            raise_to(self.values, owners, pooled)
        else:
            self.values.index_add_(0, owners, pooled)

    def rows(self, n_residues: list[int]) -> NDArray[np.float32]:
        if self.pool == "mean":
            self.values /= torch.tensor(n_residues)[:, None]
        elif self.pool == "cls":
            self.values /= self.n_pieces[:, None]
        return self.values.numpy()


class ResidueRows:
    """One row a residue, the pieces of a protein joined in order."""

    def __init__(self, n_records: int) -> None:
        self.pieces: list[list[NDArray[np.float32]]] = [[] for _ in range(n_records)]

    def add(self, members: list[Piece], batch: PackedBatch, hidden: Float[Tensor, "tokens d"]) -> None:
        starts = batch.cu_seqlens.tolist()
        for piece, start in zip(members, starts, strict=False):
            # Windows of one protein have one length and keep their order through the stable sort by length.
            self.pieces[piece.record].append(hidden[start + piece.first : start + piece.stop].cpu().numpy())

    def rows(self, n_residues: list[int]) -> NDArray[np.float32]:
        return np.concatenate([rows for pieces in self.pieces for rows in pieces])


def kept_tokens(members: list[Piece], batch: PackedBatch) -> Tensor:
    """Which tokens of the batch count, bool, shape (tokens,)."""
    owners = batch.sequence_of_token()
    first = torch.tensor([piece.first for piece in members], device=owners.device)
    stop = torch.tensor([piece.stop for piece in members], device=owners.device)
    return (batch.positions >= first[owners]) & (batch.positions < stop[owners])
