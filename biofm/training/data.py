"""The LightningDataModule of a run: it makes the packed batches for training and for validation."""

import signal
from typing import Any

import torch
from biofm_datasets.arrays import Indices
from biofm_datasets.sampling import Cursor, Mixture, Plan
from biofm_datasets.store import TokenStore
from lightning import LightningDataModule
from torch.utils.data import DataLoader

from biofm.core.signals import OF_TERMINALS, SIGNALS
from biofm.training.batches import BEGINNING, Maker, ProcessRank, TrainingBatches, ValidationBatches
from biofm.training.objectives import Example, Objective
from biofm.training.recipe import Recipe


class PackedData(LightningDataModule):
    """Hands out batches of the sequences that ``train`` draws from ``store``, and of ``validation``.

    After a checkpoint was loaded, the batches continue where the checkpoint was saved.
    """

    def __init__(
        self, store: TokenStore, train: Mixture, validation: Indices, objective: Objective, recipe: Recipe
    ) -> None:
        super().__init__()
        self.store = store
        self.train = train
        self.validation = validation
        self.recipe = recipe
        self.maker = Maker(store, objective, recipe)
        self.cursor = BEGINNING

    def train_dataloader(self) -> DataLoader[Example]:
        recipe = self.recipe
        plan = Plan(
            self.train,
            self.store,
            budget=recipe.tokens_per_batch,
            max_length=recipe.max_length,
            seed=recipe.seed,
        )
        batches = TrainingBatches(self.maker, plan, recipe.batches_per_step, self._process, self.cursor)
        return self._loader(batches)

    def val_dataloader(self) -> DataLoader[Example] | list[Any]:
        if not len(self.validation) or not self.recipe.validate_every:
            return []
        members, budget = self.validation, self.recipe.tokens_per_batch
        return self._loader(ValidationBatches(self.maker, members, budget, self._process))

    def transfer_batch_to_device(self, batch: Example, device: torch.device, dataloader_idx: int) -> Example:
        assert self.trainer is not None, "only a trainer asks for batches"
        if self.trainer.training:
            self.cursor = batch.cursor
        return batch.to(device)

    def state_dict(self) -> dict[str, Any]:
        """Return the place where the next step begins. Checkpoints save it only between steps."""
        return {"cursor": tuple(self.cursor)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.cursor = Cursor(*state["cursor"])

    @property
    def _process(self) -> ProcessRank:
        assert self.trainer is not None, "only a trainer asks for batches"
        return ProcessRank(self.trainer.global_rank, self.trainer.world_size)

    def _loader(self, batches: TrainingBatches | ValidationBatches) -> DataLoader[Example]:
        n_workers = self.recipe.n_workers
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=n_workers,
            worker_init_fn=_begin_worker,
        )


def _begin_worker(worker: int) -> None:
    """Prepare a process that makes batches: it gets one thread and ignores the signals that end a run.

    One thread is enough because several processes share the machine. Such a signal often goes to the whole
    process group, but the training process still needs its workers to finish the step; they end with it.
    """
    torch.set_num_threads(1)
    for number in (*SIGNALS, *OF_TERMINALS):
        signal.signal(number, signal.SIG_IGN)
