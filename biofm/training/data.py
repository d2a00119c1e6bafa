"""Packed batches for training: the same ones for the same seed, from any step on."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from lightning import LightningDataModule
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset

from biofm.nn import pack
from biofm.tokenizers import ProteinTokenizer
from biofm.training.objective import MaskedBatch, Masker
from biofm.training.recipe import Recipe
from biofm.training.tokens import TokenStore

_ORDER, _MASKS = 0, 1  # two independent streams of random numbers from one seed


class MaskedBatches(IterableDataset[MaskedBatch]):
    """An endless stream of masked batches, one a training step, from ``first_step`` on.

    Each epoch visits every sequence once in a new order; a sequence longer than the recipe's ``max_length``
    gives one random crop. The order depends on (seed, epoch), crops and masks on (seed, step), so that a
    resumed run sees what it would have seen.
    """

    def __init__(
        self, store: TokenStore, tokenizer: ProteinTokenizer, recipe: Recipe, first_step: int = 0
    ) -> None:
        self.store = store
        self.masker = Masker(tokenizer, recipe.masked_share)
        self.recipe = recipe
        self.first_step = first_step

    def __iter__(self) -> Iterator[MaskedBatch]:
        step = 0
        for epoch in count():
            for members in self._epoch(epoch):
                if step >= self.first_step:
                    yield self._masked_batch(members, step)
                step += 1

    def _epoch(self, epoch: int) -> list[NDArray[np.int64]]:
        """The sequences of every batch of an epoch: a shuffled order, cut where the token budget is full."""
        order = np.random.default_rng((self.recipe.seed, _ORDER, epoch)).permutation(len(self.store))
        lengths = np.minimum(self.store.lengths[order], self.recipe.max_length)
        batch_of = (np.cumsum(lengths) - lengths) // self.recipe.tokens_per_batch
        return np.split(order, np.flatnonzero(np.diff(batch_of)) + 1)

    def _masked_batch(self, members: NDArray[np.int64], step: int) -> MaskedBatch:
        rng = np.random.default_rng((self.recipe.seed, _MASKS, step))
        crops = sorted((self._crop(self.store[i], rng) for i in members), key=len)
        batch = pack([torch.from_numpy(crop.astype(np.int64)) for crop in crops])
        return self.masker(batch, torch.Generator().manual_seed(int(rng.integers(1 << 62))))

    def _crop(self, tokens: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        start = int(rng.integers(max(0, len(tokens) - self.recipe.max_length) + 1))
        return tokens[start : start + self.recipe.max_length]


class PackedData(LightningDataModule):
    """Feeds a trainer from the step that it has reached."""

    def __init__(self, store: TokenStore, tokenizer: ProteinTokenizer, recipe: Recipe) -> None:
        super().__init__()
        self.store = store
        self.tokenizer = tokenizer
        self.recipe = recipe

    def train_dataloader(self) -> DataLoader[MaskedBatch]:
        assert self.trainer is not None, "the trainer asks for batches"
        batches = MaskedBatches(self.store, self.tokenizer, self.recipe, self.trainer.global_step)
        return DataLoader(batches, batch_size=None)

    def transfer_batch_to_device(
        self, batch: MaskedBatch, device: torch.device, dataloader_idx: int
    ) -> MaskedBatch:
        return MaskedBatch(batch.batch.to(device), batch.rows.to(device), batch.targets.to(device))
