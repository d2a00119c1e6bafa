"""Finds the tokens, the members and the ids of a store's sequences by their numbers."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.arrays import Indices, Tokens, Values
from biofm_datasets.store.files import OFFSETS, TOKENS, VALUES, map_split


class TokenStore:
    """Holds sequences of tokens: sequence i is ``tokens[offsets[i]:offsets[i + 1]]``.

    The arrays are in memory, or memory maps. A mapped store is pickled as its path, so that a process of a
    data loader opens it again.

    Args:
        tokens: The tokens of all sequences, one after the other.
        offsets: The place of each sequence's first token, and the number of all tokens.
        values: One number for each token; None for models that read none.
        folder: The folder whose files are mapped; None if the arrays are in memory.
    """

    def __init__(
        self, tokens: Tokens, offsets: Indices, values: Values | None = None, folder: Path | None = None
    ) -> None:
        self.tokens = tokens
        self.offsets = offsets
        self.values = values
        self.folder = folder

    @classmethod
    def of(cls, sequences: Iterable[Tokens], values: Sequence[Values] = ()) -> Self:
        """Return a store of sequences in memory.

        Args:
            sequences: The tokens of each sequence.
            values: The values of each sequence; empty if they have none.
        """
        arrays = list(sequences)
        offsets = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
        tokens = np.concatenate(arrays) if arrays else np.empty(0, np.uint8)
        return cls(tokens, offsets, np.concatenate(values) if values else None)

    @classmethod
    def mapped(cls, folder: Path) -> Self:
        """Return the sequences of the store in a folder, as memory maps.

        Args:
            folder: The folder of the store.

        Raises:
            DataError: A file is damaged.
        """
        values = VALUES.map(folder) if (folder / VALUES.name).exists() else None
        return cls(TOKENS.map(folder), OFFSETS.map(folder), values, folder)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int | np.integer) -> Tokens:
        if i < 0:
            i += len(self)
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]

    def values_of(self, i: int | np.integer) -> Values | None:
        """Return the values of the tokens of a sequence; None in a store without values.

        Args:
            i: The number of the sequence, from 0.
        """
        return None if self.values is None else self.values[self.offsets[i] : self.offsets[i + 1]]

    def __iter__(self) -> Iterator[Tokens]:
        return (self[i] for i in range(len(self)))

    def lengths(self, members: Indices | slice = slice(None)) -> Indices:
        """Return the number of tokens of each member.

        Args:
            members: Numbers of sequences, or a slice of them.
        """
        if isinstance(members, slice):
            return self.offsets[1:][members] - self.offsets[:-1][members]
        return self.offsets[members + 1] - self.offsets[members]

    def __reduce__(self) -> Any:
        if self.folder is None:
            return type(self), (self.tokens, self.offsets, self.values)
        return type(self).mapped, (self.folder,)


class Members:
    """Holds some members of a part of a store's split: an array in a file that is pickled as its place there.

    Args:
        folder: The folder of the store.
        part: The name of the part.
        first, last: The range of the members: from the first to before the last, counted from 0.
    """

    def __init__(self, folder: Path, part: str, first: int, last: int) -> None:
        self._place = (folder, part, first, last)
        self._values: Indices = map_split(folder)[part][first:last]

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, places: Indices | slice) -> Indices:
        return self._values[places]

    def __iter__(self) -> Iterator[int]:
        return iter(self._values.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Indices:
        return np.array(self._values, dtype) if copy else np.asarray(self._values, dtype)

    def __reduce__(self) -> Any:
        return type(self), self._place


class Ids(Sequence[str]):
    """Holds the ids of sequences and decodes them when they are read.

    Args:
        text: The UTF-8 text of all ids, one after the other.
        offsets: The place of each id's first byte, and the number of all bytes.
    """

    def __init__(self, text: NDArray[np.uint8], offsets: Indices) -> None:
        self._text = text
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> list[str]: ...
    def __getitem__(self, i: int | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self[number] for number in range(*i.indices(len(self)))]
        if i < 0:
            i += len(self)
        return self._text[self._offsets[i] : self._offsets[i + 1]].tobytes().decode(errors="replace")
