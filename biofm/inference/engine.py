"""The engine: sequences go through a model in packed batches, each within a budget of tokens.

An input of any length is cut into **chunks** that fit into memory. The sequences of a chunk are sorted by
length and cut into **batches**, each of which goes through the model at once. A batch is named by the places
of its members in the chunk, by which the results are put back into the order of the input. ``Embedder`` and
``QueryRunner`` work so. ``ContactMapper`` is an engine too, but takes batches in the order of the input,
because its maps are large and leave at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from biofm.core.errors import OptionError
from biofm.inference.compute import Compute
from biofm.inference.limits import check_memory_of_batch
from biofm.modalities import Tokens
from biofm.nn import EncoderConfig, PackedBatch, by_budget, pack_arrays

BATCHES_PER_CHUNK = 16
"""Sequences of so many batches are sorted by length together. More of them give fuller batches, but the first
results come later, and more memory is taken."""

OnBatch = Callable[[int, int], None]
"""Is called after each batch with the number of tokens that went through the model, and of the units, such as
residues, whose results came out."""


class Tokenised(Protocol):
    """A sequence as tokens, with one number a token where the model reads such numbers.

    An item of the input, a piece of an item and a query are of this kind.
    """

    @property
    def tokens(self) -> Tokens: ...  # (length,)
    @property
    def values(self) -> NDArray[np.float32] | None: ...  # (length,)


T = TypeVar("T", bound=Tokenised)


class Engine:
    """A model that ``place`` made ready: where it runs, in which precision, and how much of it at once.

    ``tokens_per_batch`` None takes the default of the device.
    """

    def __init__(self, config: EncoderConfig, compute: Compute, tokens_per_batch: int | None) -> None:
        self.config = config
        self.device = compute.device
        self.dtype = compute.dtype
        self.tokens_per_batch = tokens_per_batch or compute.tokens_per_batch

    def chunks(self, sequences: Iterable[T]) -> Iterator[list[T]]:
        """Cut sequences, in their order, into chunks that are sorted and batched together.

        Where a chunk ends depends only on its sequences and on the next one, so that a resumed run cuts the
        same chunks as a run that was never stopped.
        """
        sized = ((one, len(one.tokens)) for one in sequences)
        return by_budget(sized, BATCHES_PER_CHUNK * self.tokens_per_batch)

    def batches(self, chunk: Sequence[T]) -> Iterator[list[int]]:
        """Give the places in the chunk of the members of each batch.

        The longest sequences come first, so that neighbours have about the same length and a lack of memory
        shows at once. Sequences of one length keep their order. A sequence longer than the budget comes
        alone.
        """
        order = sorted(range(len(chunk)), key=lambda place: len(chunk[place].tokens), reverse=True)
        return by_budget(((place, len(chunk[place].tokens)) for place in order), self.tokens_per_batch)

    @contextmanager
    def memory_for(self, batch: PackedBatch, remedy: str) -> Iterator[None]:
        """Guard one run of the model over ``batch``.

        Raises OptionError with this ``remedy`` where the memory of the device is too small, before the run if
        that can be told.
        """
        n_tokens = len(batch.tokens)
        check_memory_of_batch(self.config, self.dtype, self.device, n_tokens)
        with self.out_of_memory(f"a batch of {n_tokens:,} tokens", remedy):
            yield

    @contextmanager
    def out_of_memory(self, what: str, remedy: str) -> Iterator[None]:
        """Turn the out-of-memory error of torch into an OptionError: the memory is too small for ``what``."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise OptionError(
                f"the memory of {self.device} is too small for {what}",
                where="--tokens-per-batch",
                remedy=remedy,
            ) from error


def pack_sequences(members: Sequence[Tokenised]) -> PackedBatch:
    """Pack the tokens of these sequences, and their values if they have some, into one batch on the CPU."""
    return pack_arrays([one.tokens for one in members], [one.values for one in members])
