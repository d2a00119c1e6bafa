"""Pieces of proteins: the whole sequence, or overlapping windows of a long one."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biofm.tokenizers import ProteinTokenizer


class Piece(NamedTuple):
    """Tokens of one run through the model, <cls> and <eos> included, and the range that counts."""

    record: int
    tokens: NDArray[np.uint8]  # (length,)
    first: int
    stop: int

    @property
    def n_kept(self) -> int:
        return self.stop - self.first


def pieces(
    record: int, tokens: NDArray[np.uint8], window: int | None, tokenizer: ProteinTokenizer
) -> Iterator[Piece]:
    """Cut a tokenised protein into windows of ``window`` residues that overlap by half.

    Each residue counts in one window only, the one in whose middle it lies: an overlap is shared out at its
    centre. ``window`` None, or a protein that fits, gives one piece.
    """
    n_residues = len(tokens) - 2
    if window is None or n_residues <= window:
        yield Piece(record, tokens, 1, 1 + n_residues)
        return
    for span in spans(n_residues, window):
        framed = frame(tokens, span.start, window, tokenizer)
        yield Piece(record, framed, 1 + span.first - span.start, 1 + span.stop - span.start)


class Span(NamedTuple):
    """A window that begins at residue ``start`` (from 0) and counts for residues ``first`` up to ``stop``."""

    start: int
    first: int
    stop: int


def spans(n_residues: int, window: int) -> list[Span]:
    """The windows of a protein in order; a protein that fits has one."""
    if n_residues <= window:
        return [Span(0, 0, n_residues)]
    starts = _window_starts(n_residues, window)
    seams = [0, *((left + window + right) // 2 for left, right in pairwise(starts)), n_residues]
    return [Span(*bounds) for bounds in zip(starts, seams, seams[1:], strict=False)]


def frame(
    tokens: NDArray[np.uint8], start: int, window: int, tokenizer: ProteinTokenizer
) -> NDArray[np.uint8]:
    """Residues ``start`` up to ``start + window`` of a tokenised protein, between <cls> and <eos>."""
    body = tokens[1 + start : min(1 + start + window, len(tokens) - 1)]
    return np.concatenate([[tokenizer.cls], body, [tokenizer.eos]]).astype(np.uint8)


def _window_starts(n_residues: int, window: int) -> list[int]:
    """First residues of the windows: half a window apart, the last one flush with the end."""
    step = max(1, window // 2)
    return [*range(0, n_residues - window, step), n_residues - window]
