"""What the splits by similarity share: which proteins can be held out, and how relatives are searched for.

The search runs in chunks that fit into memory.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from biofm_datasets.arrays import Bools, Indices, Tokens
from biofm_datasets.progress import OnStage
from biofm_datasets.similarity import Similarity
from biofm_datasets.splits.options import SplitOptions
from biofm_datasets.store.record import Alphabet
from biofm_datasets.store.tokens import TokenStore

MIN_HELD_OUT_LENGTH = 30
MAX_HELD_OUT_LENGTH = 1022
"""The longest held-out protein in residues: ESM-2 reads it whole. The shortest is long enough to judge."""

CHUNK_TOKENS = 20_000_000
"""The tokens that biofm's own method searches at once, to keep memory flat."""
OWN_TOOL = "biofm (spaced seeds and banded alignments)"


def can_be_held_out(tokens: TokenStore, alphabet: Alphabet) -> Callable[[slice], Bools]:
    """Return a function that returns which sequences of a slice are of a length to hold out."""
    n_around = Spelling(alphabet).n_around

    def has_length(block: slice) -> Bools:
        n_residues = tokens.lengths(block) - n_around
        return (n_residues >= MIN_HELD_OUT_LENGTH) & (n_residues <= MAX_HELD_OUT_LENGTH)

    return has_length


class Spelling:
    """Writes tokens as residues. A token without a letter becomes X; special tokens around a sequence are
    left out.

    Args:
        alphabet: The meaning of the tokens.
    """

    def __init__(self, alphabet: Alphabet) -> None:
        around = (*alphabet.before, *alphabet.behind)
        self.n_around = alphabet.n_special
        letters = (
            "\0" if number in around else token if token.isalpha() and len(token) == 1 else "X"
            for number, token in enumerate(alphabet.tokens)
        )  # fmt: skip
        self._letters = np.frombuffer("".join(letters).encode(), np.uint8)

    def __call__(self, tokens: Tokens) -> str:
        return bytes(self._letters[tokens]).replace(b"\0", b"").decode()


class Search(NamedTuple):
    """Says how relatives are searched for.

    Attributes:
        similarity: When two proteins are similar.
        spell: Writes tokens as residues.
        tool: The tool, as in ``SplitOptions``.
        scratch: The folder for the files of MMseqs2 while it runs.
        progress: Called as the search advances.
    """

    similarity: Similarity
    spell: Spelling
    tool: str
    scratch: Path
    progress: OnStage

    @classmethod
    def of(cls, options: SplitOptions, alphabet: Alphabet, scratch: Path, progress: OnStage) -> "Search":
        """Return the search of these options, with a margin that errs on the side of finding more."""
        similarity = Similarity(options.max_identity, options.min_coverage).with_margin()
        return cls(similarity, Spelling(alphabet), options.tool, scratch, progress)


def chunks_of(tokens: TokenStore, members: Indices, n_tokens: int) -> Iterator[Indices]:
    """Return the members in chunks of about ``n_tokens`` tokens."""
    ends = np.cumsum(tokens.lengths(members))
    return iter(np.split(members, np.flatnonzero(np.diff(ends // n_tokens)) + 1))


def progress_of_step(progress: OnStage, number: int, n_steps: int) -> OnStage:
    """Return a function that reports the progress of one of several steps, with its number from 1."""
    step = f" (step {number} of {n_steps})" if n_steps > 1 else ""

    def report(stage: str, done: int, total: int) -> None:
        progress(stage + step, done, total)

    return report
