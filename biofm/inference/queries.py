"""Queries: ask a language model which tokens it expects at some places of a sequence.

Each place is hidden by a mask or shown. Scores of variants and perplexities are computed from the answers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray
from torch import Tensor

from biofm.inference.compute import Compute
from biofm.inference.engine import Engine, pack_sequences
from biofm.modalities import Tokens
from biofm.models.finiteness import are_faulty
from biofm.nn import MaskedLM


@dataclass(frozen=True, slots=True)
class Query:
    """Describes one run of the model: which tokens are hidden, and at which places the answer is read.

    Attributes:
        tokens: The tokens of the sequence, special tokens included.
        masked: Places in ``tokens`` that are hidden by a mask, ascending and without repeats. They may be
            none.
        read: Places in ``tokens`` where the model's probabilities are read, ascending and without repeats.
        values: One number for each token, for a model that reads such numbers; else None.
    """

    tokens: Tokens
    masked: NDArray[np.int64]
    read: NDArray[np.int64]
    values: NDArray[np.float32] | None = None


class QueryRunner(Engine):
    """Asks a language model for the probabilities of tokens.

    Args:
        model: The model, made ready by ``place``. It must have a language-model head.
        mask_token: The number of the token that hides another one.
        compute: The device and the dtype of the model.
        tokens_per_batch: The most tokens of one batch. None takes the default of the device.
    """

    def __init__(
        self, model: MaskedLM, mask_token: int, compute: Compute, tokens_per_batch: int | None = None
    ) -> None:
        assert model.head is not None, "a model without a language-model head predicts no tokens"
        super().__init__(model.config, compute, tokens_per_batch)
        self.model = model
        self.mask_token = mask_token

    def predict(
        self, queries: Iterable[Query], on_run: Callable[[int], None] = no_progress
    ) -> Iterator[NDArray[np.float32]]:
        """Answer queries in order, each with the natural logarithms of the probabilities of all tokens.

        Queries of many sequences are packed together. One chunk of queries is in memory at a time, however
        many there are.

        Args:
            queries: The queries, in any number.
            on_run: Called after each batch with its number of tokens, before the answers of the batch are
                returned.

        Yields:
            An array of shape (places read, vocabulary) for each query. It is NaN where the model's numbers
                are not finite.

        Raises:
            OptionError: A batch is too large for the memory.
        """
        for chunk in self.chunks(queries):
            yield from self._predict_chunk(chunk, on_run)

    def _predict_chunk(self, chunk: list[Query], on_run: Callable[[int], None]) -> list[NDArray[np.float32]]:
        answers: list[NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(chunk)
        for places in self.batches(chunk):
            members = [chunk[place] for place in places]
            log_p = self._run(members)
            on_run(sum(len(query.tokens) for query in members))
            for place, rows in zip(places, log_p, strict=True):
                answers[place] = rows
        return answers

    @torch.inference_mode()
    def _run(self, queries: list[Query]) -> list[NDArray[np.float32]]:
        """Answer the queries of one batch."""
        batch = pack_sequences(queries)
        starts = batch.cu_seqlens.tolist()
        batch.tokens[_places([query.masked for query in queries], starts)] = self.mask_token
        read = _places([query.read for query in queries], starts).to(self.device)
        batch = batch.to(self.device)
        with self.memory_for(batch, "Give fewer tokens"):
            vectors = self.model.encoder(batch, rows=batch.rows(read))
        of_device = self.model.logits(vectors).float().log_softmax(-1)
        sums = of_device.sum(-1)
        log_p = of_device.cpu().numpy()
        log_p[are_faulty(sums)] = np.nan
        bounds = np.cumsum([len(query.read) for query in queries])[:-1]
        return np.split(log_p, bounds)


def _places(places: list[NDArray[np.int64]], starts: list[int]) -> Tensor:
    """Convert places within each sequence to places in the packed batch."""
    return torch.from_numpy(
        np.concatenate([part + start for part, start in zip(places, starts, strict=False)])
    )
