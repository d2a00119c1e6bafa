"""Labelled batches: each depends on its place in the plan alone, not on the process that makes it."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Indices
from biofm_datasets.sampling import Cursor, Plan, fill_bins
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray
from torch.utils.data import Dataset, IterableDataset, get_worker_info

from biofm.nn import PackedBatch, pack_arrays
from biofm.training.objectives import Example, Labelled, Objective
from biofm.training.recipe import Recipe

BEGINNING = Cursor(0, 0)
_TRAINING, _VALIDATION = 0, 1  # two independent streams of random numbers from one seed


class ProcessRank(NamedTuple):
    """Says which batches of a step a process makes: every ``n_processes``-th, from number ``rank`` on."""

    rank: int = 0
    n_processes: int = 1


class Maker:
    """Makes labelled batches of sequences of the store, which are its members.

    A sequence longer than the recipe's ``max_length`` is cropped at random. Crops and masks depend on the
    seed and on the batch's place alone.
    """

    def __init__(self, store: TokenStore, objective: Objective, recipe: Recipe) -> None:
        self.store = store
        self.objective = objective
        self.max_length = recipe.max_length
        self.seed = recipe.seed

    def make(self, members: Indices, *place: int) -> Labelled:
        """Make the batch of these members, sorted by length.

        Attention on a CPU makes one call for each run of equal lengths, so sorting saves calls.
        """
        rng = np.random.default_rng((self.seed, *place))
        lengths = self.store.lengths(members)
        starts = rng.integers(np.maximum(0, lengths - self.max_length), endpoint=True)
        order = np.argsort(np.minimum(lengths, self.max_length), kind="stable")
        members, starts = members[order], starts[order]
        return self.objective.label(self._pack(members, starts), members, starts, rng)

    def _pack(self, members: Indices, starts: Indices) -> PackedBatch:
        places = list(zip(members, starts, strict=True))
        tokens = [self.store[i][start : start + self.max_length] for i, start in places]
        values = [_cropped(self.store.values_of(i), start, self.max_length) for i, start in places]
        return pack_arrays(tokens, values)


def _cropped(values: NDArray[np.float32] | None, start: int, length: int) -> NDArray[np.float32] | None:
    return None if values is None else values[start : start + length]


class TrainingBatches(IterableDataset[Example]):
    """Yields the training batches of one process without end, from the step that begins at ``start``.

    Batch b of a step belongs to process b modulo the number of processes. The loader's workers take the
    batches of their process in turn. So a step has the same batches for any number of processes and workers.
    """

    def __init__(
        self, maker: Maker, plan: Plan, batches_per_step: int, process: ProcessRank, start: Cursor
    ) -> None:
        assert batches_per_step % process.n_processes == 0, "processes share the batches of a step evenly"
        self.maker = maker
        self.plan = plan
        self.batches_per_step = batches_per_step
        self.process = process
        self.start = start

    def __iter__(self) -> Iterator[Example]:
        worker = get_worker_info()
        turn, n_turns = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return self._examples(turn, n_turns)

    def _examples(self, turn: int, n_turns: int) -> Iterator[Example]:
        number = 0  # counts the batches of this process
        for step, following in self._steps():
            for i in range(self.process.rank, len(step), self.process.n_processes):
                if number % n_turns == turn:
                    place, members = step[i]
                    labelled = self.maker.make(members, _TRAINING, *place)
                    yield Example(*labelled, labelled.n_judged, following)
                number += 1

    def _steps(self) -> Iterator[tuple[Sequence[tuple[Cursor, Indices]], Cursor]]:
        """Yield the members of each batch of a step, and the place where the next step begins."""
        bins = self.plan.bins(self.start)
        step = list(islice(bins, self.batches_per_step))
        while True:
            following = list(islice(bins, self.batches_per_step))
            yield step, following[0][0]
            step = following


class ValidationBatches(Dataset[Example]):
    """Holds the batches of a validation set, which have the same crops and masks every time.

    Every process gets the same number of batches, because processes that hold parts of one model must call
    it together. A batch that was added for this purpose alone has no judged targets.
    """

    def __init__(self, maker: Maker, members: Indices, tokens_per_batch: int, process: ProcessRank) -> None:
        self.maker = maker
        lengths = np.minimum(maker.store.lengths(members), maker.max_length)
        bins = [np.sort(places) for places in fill_bins(lengths, tokens_per_batch)]
        self.bins = [members[places] for places in sorted(bins, key=lambda places: int(places[0]))]
        self.process = process

    def __len__(self) -> int:
        return -(-len(self.bins) // self.process.n_processes)

    def __getitem__(self, i: int) -> Example:
        if not 0 <= i < len(self):
            raise IndexError(i)
        place = i * self.process.n_processes + self.process.rank
        members = self.bins[place % len(self.bins)]
        labelled = self.maker.make(members, _VALIDATION, place % len(self.bins))
        return Example(*labelled, labelled.n_judged if place < len(self.bins) else 0, BEGINNING)
