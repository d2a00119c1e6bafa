"""Windows: a long sequence is cut into overlapping pieces, of which each unit counts in one.

A unit, such as a residue, counts in the window in whose middle it lies, where the model sees most around it.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from biofm.modalities import Tokenizer, Tokens

Values = NDArray[np.float32] | None


class Piece(NamedTuple):
    """The tokens of a window, or of a whole sequence, with the special ones around them.

    ``place``: the place of its sequence in the chunk. The tokens ``first`` up to ``stop`` are the units that
    count.
    """

    place: int
    tokens: Tokens  # (length,)
    first: int
    stop: int
    values: Values = None  # (length,)

    @property
    def n_kept(self) -> int:
        """How many of its units count."""
        return self.stop - self.first


def pieces(
    place: int, tokens: Tokens, window: int | None, tokenizer: Tokenizer, values: Values = None
) -> Iterator[Piece]:
    """Cut the tokens of a sequence, and their values, into windows of ``window`` units that overlap by half.

    An overlap is shared out at its centre. ``window`` None, or a sequence that fits, gives one piece.
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
    """A window from unit ``start`` (from 0) on, in which the units ``first`` up to ``stop`` count."""

    start: int
    first: int
    stop: int


def spans(n_units: int, window: int) -> list[Span]:
    """The windows of a sequence in order; a sequence that fits has one."""
    if n_units <= window:
        return [Span(0, 0, n_units)]
    starts = _window_starts(n_units, window)
    seams = [0, *((left + window + right) // 2 for left, right in pairwise(starts)), n_units]
    return [Span(*bounds) for bounds in zip(starts, seams, seams[1:], strict=False)]


def frame(tokens: Tokens, start: int, window: int, tokenizer: Tokenizer) -> Tokens:
    """The units ``start`` up to ``start + window`` of a sequence, with the special tokens around them."""
    return tokenizer.frame(tokenizer.body(tokens)[start : start + window])


def frame_values(values: Values, start: int, window: int, tokenizer: Tokenizer) -> Values:
    """The values of the tokens that ``frame`` gives; those of the special tokens stay."""
    if values is None:
        return None
    n_before, n_behind = len(tokenizer.before), len(tokenizer.behind)
    of_units = values[n_before : len(values) - n_behind][start : start + window]
    return np.concatenate([values[:n_before], of_units, values[len(values) - n_behind :]])


def _window_starts(n_units: int, window: int) -> list[int]:
    """The first unit of each window: half a window apart; the last window ends with the sequence."""
    step = max(1, window // 2)
    return [*range(0, n_units - window, step), n_units - window]
