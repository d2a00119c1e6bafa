"""Embeddings: an encoder computes one row of numbers for each record, or for each unit of each record.

embedder = Embedder(encoder, tokenizer, compute, EmbedOptions(pool="mean"))
for chunk in embedder.chunks(embedder.tokenise(records, notices)):
    rows |= embedder.embed_new(chunk, rows)  # by key; equal sequences share one key and one row
"""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from biofm_datasets import Record
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray

from biofm.core.bounds import check_bound
from biofm.core.choices import PoolName
from biofm.core.errors import OptionError
from biofm.core.outputs import EmbeddingBlock, is_empty
from biofm.inference.compute import Compute
from biofm.inference.engine import Engine, OnBatch, pack_sequences
from biofm.inference.limits import (
    activation_bytes,
    check_length,
    check_memory_of_item,
    check_window,
    run_whole,
)
from biofm.inference.pooling import check_pool, rows_of_chunk
from biofm.inference.results import EMPTY_ROWS
from biofm.inference.windows import pieces
from biofm.modalities import Item, Tokenizer, columns_of, items_of
from biofm.models.finiteness import are_faulty, not_finite
from biofm.nn import Encoder

POOLS: tuple[PoolName, ...] = ("mean", "cls", "max", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedOptions:
    """Says what to take from the model, and how.

    Attributes:
        pool: How the vectors of a sequence become its row: "mean", "cls" (the first special token), "max", or
            "none" for one row for each unit.
        layer: The layer whose output is taken: 0 is the token embeddings, 1 the first layer. Negative numbers
            count from the end: -1 is the last layer with the final norm.
        window: Length of a window in units; longer sequences are embedded by windows that overlap by half.
            None embeds them whole.
        tokens_per_batch: The most tokens of one batch. None takes the default of the device.
        on_error: What happens to a sequence for which the model's numbers are not finite: "stop" raises an
            error, "skip" gives it rows of NaN.

    Raises:
        OptionError: A value is out of range.
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


class Embedder(Engine):
    """Embeds sequences with one encoder.

    Args:
        encoder: The encoder, made ready by ``place``.
        tokenizer: The encoder's tokenizer.
        compute: The device and the dtype of the encoder.
        options: What to take from the encoder.

    Raises:
        OptionError: The options do not fit the encoder.
    """

    def __init__(
        self, encoder: Encoder, tokenizer: Tokenizer, compute: Compute, options: EmbedOptions
    ) -> None:
        super().__init__(encoder.config, compute, options.tokens_per_batch)
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.options = options
        self.layer = self._resolve_layer(options.layer)
        check_window(options.window, self.config, tokenizer)
        check_pool(options.pool, self.config, tokenizer)

    def embed_all(self, records: Iterable[Record], notices: Counter[str]) -> EmbeddingBlock:
        """Embed all records in memory.

        Args:
            records: The records to embed.
            notices: Counts what a reader of the result should know.
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
        """Turn the records, one by one, into items that the model takes.

        Args:
            records: The records to tokenise.
            notices: Counts the sequences that are embedded by windows, or that are longer than those of the
                model's training.

        Raises:
            InputError: A sequence is too long for the model or for the memory.
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

    def embed_new(
        self, chunk: Sequence[Item], known: Container[bytes], on_batch: OnBatch = no_progress
    ) -> dict[bytes, NDArray[np.float32]]:
        """Embed the items of a chunk whose keys are not known yet, and return their rows by key.

        Args:
            chunk: Items of the input. Equal sequences have the same key and are embedded once.
            known: Keys of the sequences that need no rows.
            on_batch: Called after each batch with its numbers of tokens and of units.

        Returns:
            One row for each key, or one row for each unit where the pooling is "none". Rows are NaN where the
                model's numbers are not finite and ``on_error`` is "skip".

        Raises:
            ModelError: The model's weights are not finite, and ``on_error`` is "stop".
            OptionError: The numbers overflow in this dtype, and ``on_error`` is "stop"; or a batch is too
                large for the memory.
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
        """Return an array without rows, to which others can be joined."""
        return np.empty((0, self.config.d_model), np.float32)

    @property
    def is_per_residue(self) -> bool:
        """Whether each unit of a sequence has a row of its own."""
        return self.options.pool == "none"

    @torch.inference_mode()
    def _embed(self, items: list[Item], on_batch: OnBatch) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the rows of all items, item by item, and which items have numbers that are not finite."""
        chunk = [
            piece
            for place, item in enumerate(items)
            for piece in pieces(place, item.tokens, self.options.window, self.tokenizer, item.values)
        ]
        rows = rows_of_chunk(self.options.pool, len(items), self.config.d_model)
        is_faulty = np.zeros(len(items), np.bool_)
        item = self.tokenizer.modality.words.item
        remedy = f"Give fewer tokens; if one {item} alone is too long, embed it by windows with --window"
        for places in self.batches(chunk):
            members = [chunk[place] for place in places]
            batch = pack_sequences(members)
            starts = batch.cu_seqlens[:-1].tolist()
            batch = batch.to(self.device)
            with self.memory_for(batch, remedy):
                hidden = self.encoder(batch, self.layer).float()  # (tokens, d)
            sums = hidden.sum(-1)
            rows.add(members, batch, hidden)
            of_pieces = np.logical_or.reduceat(are_faulty(sums), starts)
            np.logical_or.at(is_faulty, [piece.place for piece in members], of_pieces)
            on_batch(len(batch.tokens), sum(piece.n_kept for piece in members))
        return rows.values([item.n_units for item in items]), is_faulty

    def _resolve_layer(self, layer: int) -> int:
        """Return the layer counted from 0. Raise OptionError if the model does not have it."""
        n_layers = self.config.n_layers
        if not -n_layers - 1 <= layer <= n_layers:
            remedy = f"Give 0 (the token embeddings) to {n_layers}, or -1 (the last) to {-n_layers - 1}"
            raise OptionError(f"the model has no layer {layer}", where="--layer", remedy=remedy)
        return layer if layer >= 0 else n_layers + 1 + layer
