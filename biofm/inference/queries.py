"""Queries: which tokens a language model expects at places of a sequence, hidden or shown.

Scores of variants and perplexities are both made of such answers.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biofm.core.progress import no_progress
from biofm.inference.compute import Compute
from biofm.inference.engine import Engine, pack_sequences
from biofm.modalities import Tokens
from biofm.models.finiteness import are_faulty
from biofm.nn import MaskedLM


@dataclass(frozen=True, slots=True)
class Query:
    """One run through the model: a sequence with the tokens at ``masked`` hidden, read at the places
    ``read``.

    ``tokens``: (length,), the special ones included. ``masked`` and ``read``: places in ``tokens``, each
    ascending and without repeats; they may differ or be empty. ``values``: (length,), for a model that reads
    one number a token.
    """

    tokens: Tokens
    masked: NDArray[np.int64]
    read: NDArray[np.int64]
    values: NDArray[np.float32] | None = None


class QueryRunner(Engine):
    """A language model that ``place`` made ready, asked for the probabilities of tokens."""

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
        """For each query, in order, the natural logarithm of every token's probability; (read, vocabulary).

        Rows are NaN where the model's numbers are not finite. Queries of many sequences are packed together;
        memory holds one chunk of them, however many come. ``on_run`` is called after each batch with the
        number of its tokens, before the answers come.
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
        """The answers to the queries of one batch."""
        batch = pack_sequences(queries)
        starts = batch.cu_seqlens.tolist()
        batch.tokens[_places([query.masked for query in queries], starts)] = self.mask_token
        read = _places([query.read for query in queries], starts).to(self.device)
        batch = batch.to(self.device)
        with self.memory_for(batch, "Give less"):
            vectors = self.model.encoder(batch, rows=batch.rows(read))
        of_device = self.model.logits(vectors).float().log_softmax(-1)
        sums = of_device.sum(-1)
        log_p = of_device.cpu().numpy()
        log_p[are_faulty(sums)] = np.nan
        bounds = np.cumsum([len(query.read) for query in queries])[:-1]
        return np.split(log_p, bounds)


def _places(places: list[NDArray[np.int64]], starts: list[int]) -> Tensor:
    """Places within each sequence as places in the packed batch."""
    return torch.from_numpy(
        np.concatenate([part + start for part, start in zip(places, starts, strict=False)])
    )
