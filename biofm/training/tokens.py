"""A data set as tokens in memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biofm.tokenizers import ProteinTokenizer


class TokenStore:
    """All tokens of a data set in one array, one byte each; sequence i is ``tokens[offsets[i]:offsets[i +
    1]]``.
    """

    def __init__(self, sequences: Sequence[str], tokenizer: ProteinTokenizer) -> None:
        encoded = [tokenizer.encode(sequence) for sequence in sequences]
        self.offsets = np.cumsum([0, *map(len, encoded)])
        self.tokens = np.concatenate(encoded)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)
