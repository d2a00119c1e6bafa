"""Windows share a protein out: every residue once, in order, each in a window in whose middle it lies."""

import numpy as np
import pytest

from biofm.inference import Piece, pieces
from biofm.modalities import ProteinTokenizer

TOKENIZER = ProteinTokenizer()


def cut(n_residues: int, window: int | None) -> tuple[list[Piece], list[int]]:
    """The pieces of a protein, and the residue at which each begins."""
    # Residues numbered by their tokens: no two windows of this length look alike.
    numbers = np.arange(4, 4 + n_residues, dtype=np.uint8)
    tokens = np.concatenate([[TOKENIZER.cls], numbers, [TOKENIZER.eos]]).astype(np.uint8)
    found = list(pieces(7, tokens, window, TOKENIZER))
    return found, [int(piece.tokens[1]) - 4 for piece in found]


@pytest.mark.parametrize("n_residues", [1, 2, 3, 4, 5, 7, 10, 16, 31, 64, 99, 200])
def test_every_residue_counts_once_and_in_order(n_residues: int) -> None:
    for window in range(2, n_residues + 3):
        found, _ = cut(n_residues, window)
        counted = np.concatenate([piece.tokens[piece.first : piece.stop] for piece in found])
        assert counted.tolist() == list(range(4, 4 + n_residues)), (n_residues, window)


@pytest.mark.parametrize("n_residues", [5, 16, 31, 64])
def test_a_residue_counts_where_it_is_nearest_to_the_middle(n_residues: int) -> None:
    for window in range(2, n_residues):
        found, starts = cut(n_residues, window)
        for piece, start in zip(found, starts, strict=True):
            for place in range(start + piece.first - 1, start + piece.stop - 1):
                distances = {other: abs(place - other - (window - 1) / 2) for other in starts}
                assert distances[start] == min(distances.values()), (n_residues, window, place)


def test_windows_overlap_by_half_and_are_framed_by_special_tokens() -> None:
    found, starts = cut(100, 20)

    assert starts == [0, 10, 20, 30, 40, 50, 60, 70, 80]
    for piece in found:
        assert len(piece.tokens) == 22
        assert (piece.tokens[0], piece.tokens[-1]) == (TOKENIZER.cls, TOKENIZER.eos)
        assert piece.place == 7


@pytest.mark.parametrize("window", [None, 30, 31])
def test_a_protein_that_fits_is_one_piece(window: int | None) -> None:
    (piece,), _ = cut(30, window)

    assert (piece.first, piece.stop, piece.n_kept, len(piece.tokens)) == (1, 31, 30, 32)
