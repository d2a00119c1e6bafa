"""Windows: a long sequence is cut into overlapping pieces, and each of its units counts in one of them.

A unit, such as a residue, counts in the window where it is nearest to the middle: there the model sees most
around it.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biofm.modalities import Tokenizer, Tokens

Values = NDArray[np.float32] | None


class Piece(NamedTuple):
    """Holds the tokens of a window, or of a whole sequence, with the special tokens around them.

    Attributes:
        place: The place (from 0) of the sequence in its chunk.
        tokens: The tokens of the piece, special tokens included.
        first: The place in ``tokens`` of the first unit that counts.
        stop: The place in ``tokens`` behind the last unit that counts.
        values: One number for each token, for a model that reads such numbers; else None.
    """

    place: int
    tokens: Tokens  # (length,)
    first: int
    stop: int
    values: Values = None  # (length,)

    @property
    def n_kept(self) -> int:
        """The number of units of the piece that are counted."""
        return self.stop - self.first


def pieces(
    place: int, tokens: Tokens, window: int | None, tokenizer: Tokenizer, values: Values = None
) -> Iterator[Piece]:
    """Cut the tokens of a sequence, and their values, into windows that overlap by half.

    Each half of an overlap counts in the window whose middle is nearer. A sequence that fits into a window
    gives one piece.

    Args:
        place: The place (from 0) of the sequence in its chunk.
        tokens: The tokens of the sequence, special tokens included.
        window: Length of a window in units. None makes one piece of the whole sequence.
        tokenizer: The model's tokenizer, which knows the special tokens.
        values: One number for each token, for a model that reads such numbers; else None.
    """
    n_before, n_units = tokenizer.n_before, len(tokens) - tokenizer.n_special
    if window is None or n_units <= window:
        yield Piece(place, tokens, n_before, n_before + n_units, values)
        return
    for span in spans(n_units, window):
        framed = frame(tokens, span.start, window, tokenizer)
        first, stop = span.first - span.start, span.stop - span.start
        its_values = frame_values(values, span.start, window, tokenizer)
        yield Piece(place, framed, n_before + first, n_before + stop, its_values)


class Span(NamedTuple):
    """Describes a window by units of the sequence, counted from 0.

    Attributes:
        start: The first unit of the window.
        first: The first unit that counts in this window.
        stop: The unit behind the last one that counts in this window.
    """

    start: int
    first: int
    stop: int


def spans(n_units: int, window: int) -> list[Span]:
    """Return the windows of a sequence in order; a sequence that fits into a window has one.

    Args:
        n_units: Length of the sequence in units.
        window: Length of a window in units.
    """
    if n_units <= window:
        return [Span(0, 0, n_units)]
    starts = _window_starts(n_units, window)
    seams = [0, *((left + window + right) // 2 for left, right in pairwise(starts)), n_units]
    return [Span(*bounds) for bounds in zip(starts, seams, seams[1:], strict=False)]


def frame(tokens: Tokens, start: int, window: int, tokenizer: Tokenizer) -> Tokens:
    """Return the units of one window, with the special tokens around them.

    Args:
        tokens: The tokens of the whole sequence, special tokens included.
        start: The first unit of the window, from 0.
        window: Length of the window in units.
        tokenizer: The model's tokenizer, which knows the special tokens.
    """
    return tokenizer.frame(tokenizer.body(tokens)[start : start + window])


def frame_values(values: Values, start: int, window: int, tokenizer: Tokenizer) -> Values:
    """Return the values of the tokens that ``frame`` returns; those of the special tokens stay.

    Args:
        values: The values of the whole sequence, special tokens included. None is passed on.
        start: The first unit of the window, from 0.
        window: Length of the window in units.
        tokenizer: The model's tokenizer, which knows the special tokens.
    """
    if values is None:
        return None
    n_before, n_behind = len(tokenizer.before), len(tokenizer.behind)
    of_units = values[n_before : len(values) - n_behind][start : start + window]
    return np.concatenate([values[:n_before], of_units, values[len(values) - n_behind :]])


def _window_starts(n_units: int, window: int) -> list[int]:
    """Return the first unit of each window.

    Windows begin half a window apart; the last one ends with the sequence.
    """
    step = max(1, window // 2)
    return [*range(0, n_units - window, step), n_units - window]
