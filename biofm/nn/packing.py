"""Packed batches: sequences are laid one after the other, without padding."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from biofm_kernels import Tiles, tile
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Holds sequences one after the other, without padding.

    Attributes:
        tokens: The tokens of all sequences.
        positions: The position of each token in its sequence, from 0. If a sequence lacks some of its tokens,
            the others keep their positions.
        cu_seqlens: The bounds of the sequences: tokens ``cu_seqlens[i]`` up to ``cu_seqlens[i + 1]`` are
            sequence i.
        max_seqlen: The length of the longest sequence in tokens.
        n_positions: A number above every position; None for ``max_seqlen``.
        tiles: How a GPU's kernels share the tokens out, the same in every layer; None on a CPU.
        values: The number of each token, for models that read one; else None.
        segments: The segment of each token, for models that read one; else None.
    """

    tokens: Int[Tensor, " tokens"]
    positions: Int[Tensor, " tokens"]
    cu_seqlens: Int[Tensor, " sequences_plus_one"]  # int32
    max_seqlen: int
    n_positions: int | None = None
    tiles: Tiles | None = None
    values: Float[Tensor, " tokens"] | None = None
    segments: Int[Tensor, " tokens"] | None = None

    @property
    def end(self) -> int:
        """A number that is above every position."""
        return self.max_seqlen if self.n_positions is None else self.n_positions

    @property
    def n_sequences(self) -> int:
        """The number of sequences that the batch has."""
        return len(self.cu_seqlens) - 1

    @property
    def lengths(self) -> Int[Tensor, " sequences"]:
        """The length in tokens that each sequence has."""
        return self.cu_seqlens.diff()

    def rows(self, indices: Int[Tensor, " rows"]) -> "Rows":
        """Return some tokens of the batch.

        Args:
            indices: The tokens' indices in the batch, ascending and without repeats.
        """
        bounds = torch.searchsorted(indices, self.cu_seqlens.to(indices.dtype)).to(torch.int32)
        has_kernels = self.tiles is not None
        tiles = tile(self.cu_seqlens, len(self.tokens), bounds, len(indices)) if has_kernels else None
        return Rows(indices, bounds, tiles)

    def to(self, device: torch.device | str) -> "PackedBatch":
        """Return the batch on another device, with the tiles that a GPU's kernels need.

        Args:
            device: The device.
        """
        cu_seqlens = self.cu_seqlens.to(device)
        n_tokens = len(self.tokens)
        tiles = tile(cu_seqlens, n_tokens, cu_seqlens, n_tokens) if cu_seqlens.is_cuda else None
        return replace(
            self,
            tokens=self.tokens.to(device),
            positions=self.positions.to(device),
            cu_seqlens=cu_seqlens,
            tiles=tiles,
            values=None if self.values is None else self.values.to(device),
            segments=None if self.segments is None else self.segments.to(device),
        )

    def sequence_of_token(self) -> Int[Tensor, " tokens"]:
        """Return for each token the number of its sequence, from 0."""
        order = torch.arange(self.n_sequences, device=self.tokens.device)
        return order.repeat_interleave(self.lengths, output_size=len(self.tokens))


@dataclass(frozen=True, slots=True)
class Rows:
    """Names some tokens of a packed batch, to compute results for them only.

    Attributes:
        indices: The tokens' indices in the batch, ascending.
        cu_seqlens: The bounds of the sequences: rows ``cu_seqlens[i]`` up to ``cu_seqlens[i + 1]`` belong to
            sequence i.
        tiles: How a GPU's kernels share the rows out; None on a CPU.
    """

    indices: Int[Tensor, " rows"]
    cu_seqlens: Int[Tensor, " sequences_plus_one"]  # int32
    tiles: Tiles | None = None


def pack(
    sequences: Sequence[Int[Tensor, " _"]],
    values: Sequence[Float[Tensor, " _"]] | None = None,
    segments: Sequence[Int[Tensor, " _"]] | None = None,
) -> PackedBatch:
    """Lay token sequences one after the other.

    Args:
        sequences: The tokens of each sequence: at least one sequence, and none that is empty.
        values: The number of each token, for models that read one; else None.
        segments: The segment of each token, for models that read one; else None.
    """
    assert sequences, "a batch needs at least one sequence"
    lengths = torch.tensor([len(tokens) for tokens in sequences])
    cu_seqlens = torch.zeros(len(sequences) + 1, dtype=torch.int32)
    cu_seqlens[1:] = lengths.cumsum(0)
    positions = torch.arange(int(lengths.sum())) - cu_seqlens[:-1].long().repeat_interleave(lengths)
    return PackedBatch(
        torch.cat(list(sequences)),
        positions,
        cu_seqlens,
        int(lengths.max()),
        values=None if values is None else torch.cat(list(values)),
        segments=None if segments is None else torch.cat(list(segments)),
    )


def pack_arrays(
    tokens: Sequence[NDArray[np.integer]], values: Sequence[NDArray[np.float32] | None] = ()
) -> PackedBatch:
    """Pack arrays of any integer type as ``pack`` does.

    Args:
        tokens: The tokens of each sequence.
        values: The number of each token: an array for every sequence, or for none.
    """
    of_values = [torch.from_numpy(one.astype(np.float32)) for one in values if one is not None]
    assert len(of_values) in (0, len(tokens)), "give values for all sequences or for none"
    return pack([torch.from_numpy(one.astype(np.int64)) for one in tokens], of_values or None)


def by_budget(items: Iterable[tuple[T, int]], budget: int) -> Iterator[list[T]]:
    """Group consecutive items and yield lists whose sizes sum to at most the budget.

    Args:
        items: Items with their sizes.
        budget: The largest sum. A larger item is yielded alone.
    """
    members: list[T] = []
    total = 0
    for item, size in items:
        if members and total + size > budget:
            yield members
            members, total = [], 0
        members.append(item)
        total += size
    if members:
        yield members
