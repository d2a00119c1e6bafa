"""The engine sends sequences through a model in packed batches, each within a token budget.

An input of any length is cut into **chunks** that fit into memory. The sequences of a chunk are sorted by
length and cut into **batches**; one batch goes through the model at once. A batch is a list of places in its
chunk, so that the results can be put back into the order of the input. ``Embedder`` and ``QueryRunner`` work
like this. ``ContactMapper`` takes its batches in the order of the input instead: its maps are large, and each
leaves memory at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

import numpy as np
import torch
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.core.errors import OptionError
from biofm.inference.compute import Compute
from biofm.inference.limits import check_memory_of_batch
from biofm.modalities import Tokens
from biofm.nn import EncoderConfig, PackedBatch, by_budget, pack_arrays

BATCHES_PER_CHUNK = 16
"""The number of batches in a chunk. A larger number gives fuller batches, but later first results, and takes
more memory."""

OnBatch = Callable[[int, int], None]
"""A function that is called after each batch, with the number of tokens that the model processed and the
number of units, such as residues, that have their results."""


class Tokenised(Protocol):
    """Describes a sequence as tokens, with one number for each token if the model reads such numbers.

    Items of the input, pieces of an item and queries are sequences of this kind.
    """

    @property
    def tokens(self) -> Tokens: ...  # (length,)
    @property
    def values(self) -> NDArray[np.float32] | None: ...  # (length,)


T = TypeVar("T", bound=Tokenised)


class Engine:
    """Holds where a model runs, in which precision, and how many tokens it takes at once.

    Args:
        config: The shape of the model, which ``place`` has made ready.
        compute: The device and the dtype of the model.
        tokens_per_batch: The most tokens of one batch. None takes the default of the device.
    """

    def __init__(self, config: EncoderConfig, compute: Compute, tokens_per_batch: int | None) -> None:
        self.config = config
        self.device = compute.device
        self.dtype = compute.dtype
        self.tokens_per_batch = tokens_per_batch or compute.tokens_per_batch

    def chunks(self, sequences: Iterable[T]) -> Iterator[list[T]]:
        """Cut sequences, in their order, into chunks that are sorted and batched together.

        Where a chunk ends depends only on its sequences and on the next one. A resumed run therefore cuts the
        same chunks as a run that was never stopped.
        """
        sized = ((one, len(one.tokens)) for one in sequences)
        return by_budget(sized, BATCHES_PER_CHUNK * self.tokens_per_batch)

    def batches(self, chunk: Sequence[T]) -> Iterator[list[int]]:
        """Cut a chunk into batches, each a list of places in the chunk.

        The longest sequences come first: neighbours then have similar lengths, and a lack of memory shows at
        once. Sequences of one length keep their order. A sequence that is longer than the token budget is a
        batch of its own.
        """
        order = sorted(range(len(chunk)), key=lambda place: len(chunk[place].tokens), reverse=True)
        return by_budget(((place, len(chunk[place].tokens)) for place in order), self.tokens_per_batch)

    @contextmanager
    def memory_for(self, batch: PackedBatch, remedy: str) -> Iterator[None]:
        """Guard one run of the model over ``batch``.

        Raise OptionError with this ``remedy`` if the memory of the device is too small: before the run if
        this is known by then.
        """
        n_tokens = len(batch.tokens)
        check_memory_of_batch(self.config, self.dtype, self.device, n_tokens)
        with self.out_of_memory(f"a batch of {format_count(n_tokens, 'token')}", remedy):
            yield

    @contextmanager
    def out_of_memory(self, what: str, remedy: str) -> Iterator[None]:
        """Turn torch's out-of-memory error into an OptionError: the memory is too small for ``what``."""
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
