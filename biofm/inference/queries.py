"""What a model expects at places of a protein, hidden or shown: under scores and perplexities alike."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biofm.core.errors import OptionError
from biofm.core.progress import no_progress
from biofm.inference.compute import Compute
from biofm.inference.working_memory import check_memory_of_batch
from biofm.modalities import Tokens
from biofm.models.finiteness import are_faulty
from biofm.nn import MaskedLM, by_budget, pack_arrays

# Sorted by length together; more gives better batches, later first results and more memory.
BATCHES_PER_CHUNK = 16


@dataclass(frozen=True, slots=True)
class Query:
    """One run through the model: a sequence with the tokens at ``masked`` hidden, read at the places
    ``read``.

    ``tokens``: (length,), the special ones included. ``masked`` and ``read``: places in ``tokens``, each
    ascending and without repeats; they may differ or be empty. ``values``: one a token, if the model reads
    such.
    """

    tokens: Tokens
    masked: NDArray[np.int64]
    read: NDArray[np.int64]
    values: NDArray[np.float32] | None = None


class QueryRunner:
    """A model that ``place`` made ready, asked for the probabilities of tokens."""

    def __init__(
        self, model: MaskedLM, mask_token: int, compute: Compute, tokens_per_batch: int | None = None
    ) -> None:
        assert model.head is not None, "a model without a language-model head predicts no tokens"
        self.model = model
        self.mask_token = mask_token
        self.device = compute.device
        self.dtype = compute.dtype
        self.tokens_per_batch = tokens_per_batch or compute.tokens_per_batch

    def predict(
        self, queries: Iterable[Query], on_run: Callable[[int], None] = no_progress
    ) -> Iterator[NDArray[np.float32]]:
        """For each query, in order, the natural logarithm of every token's probability; (read, vocabulary).
        Rows of which the model's numbers are not finite are NaN.

        Queries of many proteins are packed together; memory holds some batches of them, however many come.
        ``on_run`` hears of each batch how many tokens it ran, before the answers come.
        """
        sized = ((query, len(query.tokens)) for query in queries)
        for chunk in by_budget(sized, BATCHES_PER_CHUNK * self.tokens_per_batch):
            yield from self._predict_chunk(chunk, on_run)

    def _predict_chunk(self, chunk: list[Query], on_run: Callable[[int], None]) -> list[NDArray[np.float32]]:
        order = sorted(range(len(chunk)), key=lambda i: len(chunk[i].tokens), reverse=True)
        answers: list[NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(chunk)
        for members in by_budget(((i, len(chunk[i].tokens)) for i in order), self.tokens_per_batch):
            log_p = self._run([chunk[i] for i in members])
            on_run(sum(len(chunk[i].tokens) for i in members))
            for i, rows in zip(members, log_p, strict=True):
                answers[i] = rows
        return answers

    @torch.inference_mode()
    def _run(self, queries: list[Query]) -> list[NDArray[np.float32]]:
        n_tokens = sum(len(query.tokens) for query in queries)
        check_memory_of_batch(self.model.config, self.dtype, self.device, n_tokens)
        batch = pack_arrays([query.tokens for query in queries], [query.values for query in queries])
        starts = batch.cu_seqlens.tolist()
        batch.tokens[_places([query.masked for query in queries], starts)] = self.mask_token
        read = _places([query.read for query in queries], starts).to(self.device)
        batch = batch.to(self.device)
        try:
            vectors = self.model.encoder(batch, rows=batch.rows(read))
        except torch.OutOfMemoryError as error:
            raise OptionError(
                f"the memory of {self.device} is too small for a batch of {len(batch.tokens):,} tokens",
                where="--tokens-per-batch",
                remedy="Give less",
            ) from error
        of_device = self.model.logits(vectors).float().log_softmax(-1)
        sums = of_device.sum(-1)
        log_p = of_device.cpu().numpy()
        log_p[are_faulty(sums)] = np.nan
        bounds = np.cumsum([len(query.read) for query in queries])[:-1]
        return np.split(log_p, bounds)


def _places(places: list[NDArray[np.int64]], starts: list[int]) -> Tensor:
    """Places within each protein as places in the packed batch."""
    return torch.from_numpy(
        np.concatenate([part + start for part, start in zip(places, starts, strict=False)])
    )
