"""Embeddings of proteins: records in, chunks of them in the same order, rows of what is new in a chunk."""

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from biofm_datasets import Record
from numpy.typing import NDArray
from torch import Tensor

from biofm.core.bounds import check_bound
from biofm.core.errors import OptionError
from biofm.core.journal import key_of
from biofm.core.stores import EmbeddingBlock, is_empty
from biofm.inference.batches import batches, pack_pieces
from biofm.inference.compute import Compute
from biofm.inference.empty_rows import EMPTY_ROWS
from biofm.inference.gather import gather_for
from biofm.inference.lengths import check_length, check_window, run_whole
from biofm.inference.pooling import PoolName, check_pool
from biofm.inference.windows import pieces
from biofm.inference.working_memory import (
    activation_bytes,
    check_memory_of_batch,
    check_memory_of_record,
)
from biofm.modalities import Tokenizer, Tokens
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


@dataclass(frozen=True, slots=True)
class Protein:
    """A record on its way: its place among the records that are embedded, from 1, and in the input
    (``record``), and its tokens; and, for messages, ``where`` it stands.

    Proteins of the same ``key`` have the same sequence, and so the same embedding.
    """

    number: int
    record: int
    id: str
    sequence: str
    tokens: Tokens
    n_residues: int
    key: bytes
    where: str = ""


OnBatch = Callable[[int, int], None]
"""Hears after each batch how many tokens went through the model, and how many residues they stand for."""


def unheard(n_tokens: int, n_residues: int) -> None:
    """Progress that nobody watches."""


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
        proteins: list[Protein] = []
        rows: dict[bytes, NDArray[np.float32]] = {}
        for chunk in self.chunks(self.tokenise(records, notices)):
            proteins += chunk
            rows |= self.embed_new(chunk, rows)
        if n_empty := sum(is_empty(rows[protein.key]) for protein in proteins):
            notices[EMPTY_ROWS] += n_empty
        return EmbeddingBlock(
            [protein.id for protein in proteins],
            [protein.record for protein in proteins],
            [protein.n_residues for protein in proteins],
            np.concatenate([self.no_rows(), *(rows[protein.key] for protein in proteins)]),
        )

    def tokenise(self, records: Iterable[Record], notices: Counter[str]) -> Iterator[Protein]:
        longest, window = self.config.trained_length, self.options.window
        for number, record in enumerate(records, start=1):
            tokens = self.tokenizer.encode(record.sequence)
            if n_unknown := int(np.count_nonzero(tokens == self.tokenizer.unknown)):
                notices["residues read as <unk>"] += n_unknown
            n_residues = len(tokens) - self.tokenizer.n_special
            if window is not None and n_residues > window:
                units = self.tokenizer.modality.words.units
                notices[f"sequences embedded by overlapping windows of {window} {units}"] += 1
            elif len(tokens) > longest:
                check_length(record, len(tokens), self.config, self.tokenizer)
                n_bytes = activation_bytes(self.config, self.dtype, len(tokens))
                check_memory_of_record(record, n_bytes, self.device)
                notices[run_whole(longest, self.tokenizer)] += 1
            key = key_of(record.sequence)
            yield Protein(
                number, record.number, record.id, record.sequence, tokens, n_residues, key, record.where
            )

    def chunks(self, proteins: Iterable[Protein]) -> Iterator[list[Protein]]:
        """Proteins that are batched together. Where a chunk ends depends on its proteins and the next one."""
        sized = ((protein, len(protein.tokens)) for protein in proteins)
        return by_budget(sized, BATCHES_PER_CHUNK * self.tokens_per_batch)

    def embed_new(
        self,
        chunk: Sequence[Protein],
        known: Container[bytes],
        on_batch: OnBatch = unheard,
    ) -> dict[bytes, NDArray[np.float32]]:
        """By key the rows of those proteins of a chunk that are not ``known``: one, or one a residue; NaN
        where the model's are not finite.

        Raises ModelError or OptionError for such a protein, unless ``on_error`` is "skip".
        """
        new: dict[bytes, Protein] = {}
        for protein in chunk:
            if protein.key not in known:
                new.setdefault(protein.key, protein)
        if not new:
            return {}
        n_residues = [protein.n_residues for protein in new.values()]
        values, is_faulty = self._embed([it.tokens for it in new.values()], n_residues, on_batch)
        n_rows = n_residues if self.is_per_residue else [1] * len(new)
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
        sequences: list[Tokens],
        n_residues: list[int],
        on_batch: OnBatch,
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """The rows, and which sequences have such as are not finite."""
        todo = [
            piece
            for i, tokens in enumerate(sequences)
            for piece in pieces(i, tokens, self.options.window, self.tokenizer)
        ]
        gather = gather_for(self.options.pool, len(sequences), self.config.d_model)
        is_faulty = np.zeros(len(sequences), np.bool_)
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
        return gather.rows(n_residues), is_faulty

    def _run(self, batch: PackedBatch) -> Tensor:
        check_memory_of_batch(self.config, self.dtype, self.device, len(batch.tokens))
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
