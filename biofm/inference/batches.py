"""Batches by token budget."""

from collections.abc import Iterator

from biofm.inference.windows import Piece
from biofm.nn import PackedBatch, by_budget, pack_arrays


def batches(pieces: list[Piece], tokens_per_batch: int) -> Iterator[list[Piece]]:
    """Pieces in order of length, longest first, so that neighbours of equal length meet and a lack of memory
    shows at once.
    """
    ordered = sorted(pieces, key=lambda piece: len(piece.tokens), reverse=True)
    return by_budget(((piece, len(piece.tokens)) for piece in ordered), tokens_per_batch)


def pack_pieces(members: list[Piece]) -> PackedBatch:
    return pack_arrays([piece.tokens for piece in members], [piece.values for piece in members])
