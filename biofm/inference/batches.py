"""Batches by token budget."""

from collections.abc import Iterator

import numpy as np
import torch

from biofm.inference.windows import Piece
from biofm.nn import PackedBatch, by_budget, pack


def batches(pieces: list[Piece], tokens_per_batch: int) -> Iterator[list[Piece]]:
    """Pieces in order of length, longest first, so that neighbours of equal length meet and a lack of memory
    shows at once.
    """
    ordered = sorted(pieces, key=lambda piece: len(piece.tokens), reverse=True)
    return by_budget(((piece, len(piece.tokens)) for piece in ordered), tokens_per_batch)


def pack_pieces(members: list[Piece]) -> PackedBatch:
    """Laid end to end, with their values where they have any."""
    values = [torch.from_numpy(piece.values) for piece in members if piece.values is not None]
    return pack([torch.from_numpy(piece.tokens.astype(np.int64)) for piece in members], values or None)
