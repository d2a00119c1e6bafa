"""Embeddings of proteins: a stream of records in, blocks of finished rows out, in the same order."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from biofm_datasets import Record
from numpy.typing import NDArray
from torch import Tensor

from biofm.core.errors import OptionError
from biofm.core.stores import EmbeddingBlock
from biofm.inference.batches import batches, pack_pieces
from biofm.inference.compute import Compute
from biofm.inference.gather import gather_for
from biofm.inference.lengths import check_length, check_window
from biofm.inference.pooling import PoolName
from biofm.inference.windows import pieces
from biofm.nn import Encoder, PackedBatch, by_budget
from biofm.tokenizers import ProteinTokenizer

# Sorted by length together; more gives better batches, later first results and more memory.
BATCHES_PER_CHUNK = 16

POOLS: tuple[PoolName, ...] = ("mean", "cls", "max", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedOptions:
    """What to take from the model.

    ``layer`` counts from 0 (the token embeddings) to the number of layers, or backwards from -1 (the last,
    with the final norm). ``window`` in residues cuts longer proteins into overlapping windows; None runs them
    whole.
    """

    pool: PoolName = "mean"
    layer: int = -1
    window: int | None = None
    tokens_per_batch: int | None = None

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise OptionError(
                f"no such pooling: {self.pool}", where="--pool", remedy=f"Give {', '.join(POOLS)}"
            )
        for option, value in (("--window", self.window), ("--tokens-per-batch", self.tokens_per_batch)):
            if value is not None and value < 2:
                raise OptionError(f"{value} is too small", where=option, remedy="Give at least 2")


def _unheard(n_tokens: int, n_residues: int) -> None:
    """Progress that nobody watches."""


class Embedder:
    """An encoder that ``place`` made ready, and how to embed with it: options checked against the model."""

    def __init__(
        self, encoder: Encoder, tokenizer: ProteinTokenizer, compute: Compute, options: EmbedOptions
    ) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.device = compute.device
        self.options = options
        self.config = encoder.config
        self.layer = self._resolve_layer(options.layer)
        check_window(options.window, self.config)
        self.tokens_per_batch = options.tokens_per_batch or compute.tokens_per_batch

    def stream(
        self,
        records: Iterable[Record],
        notices: Counter[str],
        on_batch: Callable[[int, int], None] = _unheard,
    ) -> Iterator[EmbeddingBlock]:
        """Blocks in the order of ``records``. Memory holds one chunk, not the file.

        ``notices`` counts what a reader of the result should know; ``on_batch`` hears after each batch how
        many tokens went through the model, and how many residues they stand for.
        """
        tokenised = self._tokenise(records, notices)
        for chunk in by_budget(tokenised, BATCHES_PER_CHUNK * self.tokens_per_batch):
            yield self._embed_chunk(chunk, on_batch)

    def _tokenise(
        self, records: Iterable[Record], notices: Counter[str]
    ) -> Iterator[tuple[tuple[Record, NDArray[np.uint8]], int]]:
        longest, window = self.config.trained_length, self.options.window
        for record in records:
            tokens = self.tokenizer.encode(record.sequence)
            if n_unknown := int(np.count_nonzero(tokens == self.tokenizer.unknown)):
                notices["residues read as <unk>"] += n_unknown
            if window is not None and len(tokens) - 2 > window:
                notices[f"sequences embedded by overlapping windows of {window} residues"] += 1
            elif len(tokens) > longest:
                check_length(record, len(tokens), self.config)
                notices[
                    f"sequences longer than the {longest - 2} residues of the model's training, run whole"
                ] += 1
            yield (record, tokens), len(tokens)

    @torch.inference_mode()
    def _embed_chunk(
        self, chunk: list[tuple[Record, NDArray[np.uint8]]], on_batch: Callable[[int, int], None]
    ) -> EmbeddingBlock:
        todo = [
            piece
            for i, (_, tokens) in enumerate(chunk)
            for piece in pieces(i, tokens, self.options.window, self.tokenizer)
        ]
        gather = gather_for(self.options.pool, len(chunk), self.config.d_model)
        for members in batches(todo, self.tokens_per_batch):
            batch = pack_pieces(members).to(self.device)
            gather.add(members, batch, self._run(batch))
            on_batch(len(batch.tokens), sum(piece.n_kept for piece in members))
        n_residues = [len(tokens) - 2 for _, tokens in chunk]
        return EmbeddingBlock([record.id for record, _ in chunk], n_residues, gather.rows(n_residues))

    def _run(self, batch: PackedBatch) -> Tensor:
        try:
            hidden: Tensor = self.encoder(batch, self.layer).float()
        except torch.OutOfMemoryError as error:
            raise OptionError(
                f"the memory of {self.device} is too small for a batch of {len(batch.tokens):,} tokens",
                where="--tokens-per-batch",
                remedy="Give less; where one protein alone is too long, give a --window",
            ) from error
        return hidden

    def _resolve_layer(self, layer: int) -> int:
        n_layers = self.config.n_layers
        if not -n_layers - 1 <= layer <= n_layers:
            remedy = f"Give 0 (the token embeddings) to {n_layers}, or -1 (the last) to {-n_layers - 1}"
            raise OptionError(f"the model has no layer {layer}", where="--layer", remedy=remedy)
        return layer if layer >= 0 else n_layers + 1 + layer
