"""What the splits by similarity share: which proteins can be held out, how tokens are spelt, and how the
search for relatives runs in parts that fit into memory.
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
"""Lengths of held-out proteins in residues: each is long enough to judge and fits ESM-2's window whole."""

CHUNK_TOKENS = 20_000_000
"""Tokens of the sequences that our own method searches together, so that memory is flat."""
OWN_TOOL = "biofm (spaced seeds and banded alignments)"


def can_be_held_out(tokens: TokenStore, alphabet: Alphabet) -> Callable[[slice], Bools]:
    """A function that says which sequences of a slice have a length at which they can be held out."""
    n_around = Spelling(alphabet).n_around

    def has_length(part: slice) -> Bools:
        n_residues = tokens.lengths(part) - n_around
        return (n_residues >= MIN_HELD_OUT_LENGTH) & (n_residues <= MAX_HELD_OUT_LENGTH)

    return has_length


class Spelling:
    """Writes tokens as residues: a token without a letter is X, the special tokens around are left out."""

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
    """How relatives are searched for. ``tool``: as in ``SplitOptions``. ``scratch``: the folder for the files
    of MMseqs2 while it runs. ``progress``: called as the search goes on.
    """

    similarity: Similarity
    spell: Spelling
    tool: str
    scratch: Path
    progress: OnStage

    @classmethod
    def of(cls, options: SplitOptions, alphabet: Alphabet, scratch: Path, progress: OnStage) -> "Search":
        """The search that these options ask for, with the margin that errs on the side of finding more."""
        similarity = Similarity(options.max_identity, options.min_coverage).with_margin()
        return cls(similarity, Spelling(alphabet), options.tool, scratch, progress)


def chunks_of(tokens: TokenStore, members: Indices, n_tokens: int) -> Iterator[Indices]:
    """Members in parts of about so many tokens."""
    ends = np.cumsum(tokens.lengths(members))
    return iter(np.split(members, np.flatnonzero(np.diff(ends // n_tokens)) + 1))


def progress_of_part(progress: OnStage, number: int, n_parts: int) -> OnStage:
    """The progress of one of several parts, numbered from 1: it names the part beside the stage."""
    part = f" (part {number} of {n_parts})" if n_parts > 1 else ""

    def report(stage: str, done: int, total: int) -> None:
        progress(stage + part, done, total)

    return report
