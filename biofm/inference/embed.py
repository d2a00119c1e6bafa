"""Embeddings: records in, chunks of them in the same order, rows of what is new in a chunk."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from biofm_datasets import Record
from numpy.typing import NDArray
from torch import Tensor

from biofm.core.bounds import check_bound
from biofm.core.choices import PoolName
from biofm.core.errors import OptionError
from biofm.core.outputs import EmbeddingBlock, is_empty
from biofm.core.progress import no_progress
from biofm.inference.batches import batches, pack_pieces
from biofm.inference.compute import Compute
from biofm.inference.empty_rows import EMPTY_ROWS
from biofm.inference.gather import gather_for
from biofm.inference.lengths import check_length, check_window, run_whole
from biofm.inference.pooling import check_pool
from biofm.inference.windows import pieces
from biofm.inference.working_memory import (
    activation_bytes,
    check_memory_of_batch,
    check_memory_of_item,
)
from biofm.modalities import Item, Tokenizer, columns_of, items_of
from biofm.models.finiteness import are_faulty, not_finite
from biofm.nn import Encoder, PackedBatch, by_budget

# Sorted by length together; more gives better batches, later first results and more memory.
BATCHES_PER_CHUNK = 16

POOLS: tuple[PoolName, ...] = ("mean", "cls", "max", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedOptions:
    """What to take from the model.

    ``layer`` counts from 0 (the token embeddings) to the number of layers, or backwards from -1 (the last,
    with the final norm). ``window`` in residues cuts longer proteins into overlapping windows; None runs them
    whole. ``on_error`` "skip" gives a protein rows of NaN where "stop" raises because the model's are not
    finite.
    """

    pool: PoolName = "mean"
    layer: int = -1
    window: int | None = None
    tokens_per_batch: int | None = None
    on_error: str = "stop"

    def __post_init__(self) -> None:
        if self.pool not in POOLS:
            raise OptionError(
                f"no such pooling: {self.pool}", where="--pool", remedy=f"Give {', '.join(POOLS)}"
            )
        check_bound("window", self.window, "--window", least=2)
        check_bound("tokens_per_batch", self.tokens_per_batch, "--tokens-per-batch")


OnBatch = Callable[[int, int], None]
"""Hears after each batch how many tokens went through the model, and how many residues they stand for."""


class Embedder:
    """An encoder that ``place`` made ready, and how to embed with it: options checked against the model."""

    def __init__(
        self, encoder: Encoder, tokenizer: Tokenizer, compute: Compute, options: EmbedOptions
    ) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.device = compute.device
        self.dtype = compute.dtype
        self.options = options
        self.config = encoder.config
        self.layer = self._resolve_layer(options.layer)
        check_window(options.window, self.config, tokenizer)
        check_pool(options.pool, self.config, tokenizer)
        self.tokens_per_batch = options.tokens_per_batch or compute.tokens_per_batch

    def embed_all(self, records: Iterable[Record], notices: Counter[str]) -> EmbeddingBlock:
        """The embeddings of all records, in memory.

        ``notices`` counts what a reader of the result should know.
        """
        items: list[Item] = []
        rows: dict[bytes, NDArray[np.float32]] = {}
        for chunk in self.chunks(self.tokenise(records, notices)):
            items += chunk
            rows |= self.embed_new(chunk, rows)
        if n_empty := sum(is_empty(rows[item.key]) for item in items):
            notices[EMPTY_ROWS] += n_empty
        return EmbeddingBlock(
            [item.id for item in items],
            [item.record for item in items],
            [item.n_units for item in items],
            np.concatenate([self.no_rows(), *(rows[item.key] for item in items)]),
            columns_of(items),
        )

    def tokenise(self, records: Iterable[Record], notices: Counter[str]) -> Iterator[Item]:
        """The records as items that the model takes. What will be run unusually is counted in ``notices``.

        Raises InputError: one is too long for the model or for the memory.
        """
        longest, window = self.config.trained_length, self.options.window
        units = self.tokenizer.modality.words.units
        for item in items_of(records, self.tokenizer, notices):
            n_tokens = len(item.tokens)
            if window is not None and item.n_units > window:
                notices[f"sequences embedded by overlapping windows of {window} {units}"] += 1
            elif n_tokens > longest:
                check_length(item, self.config, self.tokenizer)
                n_bytes = activation_bytes(self.config, self.dtype, n_tokens)
                check_memory_of_item(item, n_bytes, self.device, units)
                notices[run_whole(longest, self.tokenizer)] += 1
            yield item

    def chunks(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        """Items that are batched together. Where a chunk ends depends on its items and the next one."""
        sized = ((item, len(item.tokens)) for item in items)
        return by_budget(sized, BATCHES_PER_CHUNK * self.tokens_per_batch)

    def embed_new(
        self,
        chunk: Sequence[Item],
        known: Container[bytes],
        on_batch: OnBatch = no_progress,
    ) -> dict[bytes, NDArray[np.float32]]:
        """By key the rows of those proteins of a chunk that are not ``known``: one, or one a residue; NaN
        where the model's are not finite.

        Raises ModelError or OptionError for such a protein, unless ``on_error`` is "skip".
        """
        new: dict[bytes, Item] = {}
        for item in chunk:
            if item.key not in known:
                new.setdefault(item.key, item)
        if not new:
            return {}
        values, is_faulty = self._embed(list(new.values()), on_batch)
        n_rows = [item.n_units if self.is_per_residue else 1 for item in new.values()]
        if is_faulty.any():
            if self.options.on_error == "stop":
                first = list(new.values())[int(is_faulty.argmax())]
                raise not_finite(self.encoder, first.where)
            values[np.repeat(is_faulty, n_rows)] = np.nan
        return dict(zip(new, np.split(values, np.cumsum(n_rows)[:-1]), strict=True))

    def no_rows(self) -> NDArray[np.float32]:
        return np.empty((0, self.config.d_model), np.float32)

    @property
    def is_per_residue(self) -> bool:
        return self.options.pool == "none"

    @torch.inference_mode()
    def _embed(
        self,
        items: list[Item],
        on_batch: OnBatch,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The rows, and which items have such as are not finite."""
        todo = [
            piece
            for i, item in enumerate(items)
            for piece in pieces(i, item.tokens, self.options.window, self.tokenizer, item.values)
        ]
        gather = gather_for(self.options.pool, len(items), self.config.d_model)
        is_faulty = np.zeros(len(items), np.bool_)
        for members in batches(todo, self.tokens_per_batch):
            batch = pack_pieces(members)
            starts = batch.cu_seqlens[:-1].tolist()
            batch = batch.to(self.device)
            hidden = self._run(batch)
            sums = hidden.sum(-1)
            gather.add(members, batch, hidden)
            of_pieces = np.logical_or.reduceat(are_faulty(sums), starts)
            np.logical_or.at(is_faulty, [piece.record for piece in members], of_pieces)
            on_batch(len(batch.tokens), sum(piece.n_kept for piece in members))
        return gather.rows([item.n_units for item in items]), is_faulty

    def _run(self, batch: PackedBatch) -> Tensor:
        check_memory_of_batch(self.config, self.dtype, self.device, len(batch.tokens))
        try:
            hidden: Tensor = self.encoder(batch, self.layer).float()
        except torch.OutOfMemoryError as error:
            item = self.tokenizer.modality.words.item
            raise OptionError(
                f"the memory of {self.device} is too small for a batch of {len(batch.tokens):,} tokens",
                where="--tokens-per-batch",
                remedy=f"Give less; where one {item} alone is too long, give a --window",
            ) from error
        return hidden

    def _resolve_layer(self, layer: int) -> int:
        n_layers = self.config.n_layers
        if not -n_layers - 1 <= layer <= n_layers:
            remedy = f"Give 0 (the token embeddings) to {n_layers}, or -1 (the last) to {-n_layers - 1}"
            raise OptionError(f"the model has no layer {layer}", where="--layer", remedy=remedy)
        return layer if layer >= 0 else n_layers + 1 + layer
