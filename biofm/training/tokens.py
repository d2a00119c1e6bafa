"""A data set as tokens in memory."""

from collections.abc import Iterable
from typing import Self

import numpy as np
from numpy.typing import NDArray


class TokenStore:
    """All tokens of a data set in one array; sequence i is ``tokens[offsets[i]:offsets[i + 1]]``."""

    def __init__(self, tokens: NDArray[np.unsignedinteger], offsets: NDArray[np.int64]) -> None:
        self.tokens = tokens
        self.offsets = offsets

    @classmethod
    def of(cls, sequences: Iterable[NDArray[np.unsignedinteger]]) -> Self:
        found = list(sequences)
        return cls(np.concatenate(found), np.cumsum([0, *map(len, found)]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> NDArray[np.unsignedinteger]:
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def lengths(self, members: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        lengths: NDArray[np.int64] = np.diff(self.offsets)[members]
        return lengths
