"""The batches of a run depend only on the data and the recipe, for any process and from any step on."""

import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from biofm_datasets.sampling import Mixture, Plan
from biofm_datasets.store import TokenStore
from torch.utils.data import DataLoader

from biofm.modalities import ProteinTokenizer
from biofm.training import PretrainRecipe
from biofm.training.batches import BEGINNING, Maker, ProcessRank, TrainingBatches, ValidationBatches
from biofm.training.objectives import Example, Objective, masked_lm, regression

MakeProteins = Callable[..., list[str]]
MakeBatches = Callable[..., TrainingBatches]
MakeRecipe = Callable[..., PretrainRecipe]


@pytest.fixture
def make_batches(make_recipe: MakeRecipe, tokenizer: ProteinTokenizer) -> MakeBatches:
    """Return the stream of one process over all of some proteins."""

    def make(
        proteins: list[str],
        *,
        process: ProcessRank = ProcessRank(),  # noqa: B008  # immutable
        start: Any = BEGINNING,
        objective: Objective | None = None,
        **changes: Any,
    ) -> TrainingBatches:
        recipe = make_recipe(**changes)
        store = TokenStore.of(map(tokenizer.encode, proteins))
        mixture = Mixture([np.arange(len(store))], None, recipe.seed)
        plan = Plan(
            mixture, store, budget=recipe.tokens_per_batch, max_length=recipe.max_length, seed=recipe.seed
        )
        maker = Maker(store, objective or masked_lm(tokenizer, recipe), recipe)
        return TrainingBatches(maker, plan, recipe.batches_per_step, process, start)

    return make


def sequences_of(example: Example, tokenizer: ProteinTokenizer) -> Iterator[str]:
    """Spell the sequences of a batch without its masks."""
    tokens = example.batch.tokens.clone()
    tokens[example.rows] = example.targets
    for one in tokens.tensor_split(example.batch.cu_seqlens[1:-1].tolist()):
        yield tokenizer.decode(one.numpy())


def are_same(first: Example, second: Example) -> bool:
    return (
        torch.equal(first.batch.tokens, second.batch.tokens)
        and torch.equal(first.rows, second.rows)
        and torch.equal(first.targets, second.targets)
        and torch.equal(first.batch.cu_seqlens, second.batch.cu_seqlens)
        and first.cursor == second.cursor
    )


def test_every_epoch_sees_every_sequence_once_in_a_new_order(
    make_proteins: MakeProteins, make_batches: MakeBatches, tokenizer: ProteinTokenizer
) -> None:
    """A budget above all tokens makes an epoch one batch."""
    proteins = make_proteins(60, longest=60)
    orders = []
    for example in islice(make_batches(proteins, tokens_per_batch=6000), 3):
        seen = [spelt[len("<cls>") : -len("<eos>")] for spelt in sequences_of(example, tokenizer)]
        assert Counter(seen) == Counter(proteins)
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]


def test_a_batch_keeps_the_budget_and_little_of_it_is_wasted(
    make_proteins: MakeProteins, make_batches: MakeBatches
) -> None:
    batches = make_batches(make_proteins(300, longest=60), tokens_per_batch=500)
    n_tokens = [len(example.batch.tokens) for example in islice(batches, 30)]
    assert max(n_tokens) <= 500
    assert np.mean(n_tokens) > 0.95 * 500


def test_longer_sequences_give_crops_from_everywhere_and_within_themselves(
    make_batches: MakeBatches, tokenizer: ProteinTokenizer
) -> None:
    protein = "ACDEFGHIKL" * 2 + "MNPQRSTVWY"
    tokens = tokenizer.encode(protein)  # 32 of them
    batches = make_batches([protein], max_length=8)
    crops = Counter(crop for example in islice(batches, 400) for crop in sequences_of(example, tokenizer))
    assert set(crops) == {tokenizer.decode(tokens[start : start + 8]) for start in range(25)}


def test_sequences_of_a_batch_go_from_short_to_long(
    make_proteins: MakeProteins, make_batches: MakeBatches
) -> None:
    for example in islice(make_batches(make_proteins(50)), 10):
        assert (example.batch.lengths.diff() >= 0).all()


@pytest.mark.parametrize("batches_per_step", [1, 3])
def test_starting_where_a_step_begins_is_the_same_as_going_on_to_it(
    batches_per_step: int, make_proteins: MakeProteins, make_batches: MakeBatches
) -> None:
    proteins = make_proteins(40)
    whole = list(islice(make_batches(proteins, batches_per_step=batches_per_step), 60))
    for n_steps in (1, 4, 13):
        n_done = n_steps * batches_per_step
        begun = make_batches(proteins, batches_per_step=batches_per_step, start=whole[n_done - 1].cursor)
        assert all(map(are_same, whole[n_done:], islice(begun, 60 - n_done)))


@pytest.mark.parametrize("n_processes", [2, 3])
def test_processes_share_the_batches_of_each_step(
    n_processes: int, make_proteins: MakeProteins, make_batches: MakeBatches
) -> None:
    proteins = make_proteins(60)
    alone = list(islice(make_batches(proteins, batches_per_step=6), 36))
    for rank in range(n_processes):
        part = make_batches(proteins, batches_per_step=6, process=ProcessRank(rank, n_processes))
        assert all(map(are_same, alone[rank::n_processes], islice(part, 36 // n_processes)))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than this machine has cores
@pytest.mark.parametrize("n_workers", [1, 3])
def test_workers_make_the_same_batches_in_the_same_order(
    n_workers: int, make_proteins: MakeProteins, make_batches: MakeBatches
) -> None:
    proteins = make_proteins(60)
    alone = islice(make_batches(proteins, batches_per_step=2), 20)
    loader = DataLoader(make_batches(proteins, batches_per_step=2), batch_size=None, num_workers=n_workers)
    assert all(map(are_same, alone, islice(loader, 20)))


def test_a_stream_can_be_sent_to_another_process(
    make_proteins: MakeProteins, make_batches: MakeBatches
) -> None:
    batches = make_batches(make_proteins(20))
    sent = pickle.loads(pickle.dumps(batches))
    assert all(map(are_same, islice(batches, 5), islice(sent, 5)))


def test_a_batch_counts_for_the_targets_that_are_known(
    make_proteins: MakeProteins, make_batches: MakeBatches
) -> None:
    known = np.random.default_rng(0).random((60, 2)) < 0.5
    objective = regression(np.where(known, 1.0, np.nan))
    batches = make_batches(make_proteins(60), objective=objective)
    counts = [example.n_judged for example in islice(batches, 20)]
    assert sum(counts) > 0
    for example, n_judged in zip(batches, counts, strict=False):
        assert n_judged == int((~example.targets.isnan()).sum())
    assert all(example.n_judged == len(example.rows) for example in islice(make_batches(make_proteins(9)), 5))


def test_another_seed_gives_other_batches_and_the_same_one_the_same(
    make_proteins: MakeProteins, make_batches: MakeBatches
) -> None:
    proteins = make_proteins(40)
    first, again, other = (next(iter(make_batches(proteins, seed=seed))) for seed in (1, 1, 2))
    assert are_same(first, again)
    assert not are_same(first, other)


def test_a_sequence_is_masked_anew_in_each_epoch(make_batches: MakeBatches) -> None:
    first, second = islice(make_batches(["MKTAYIAKQR" * 4]), 2)
    assert not torch.equal(first.rows, second.rows)


@pytest.fixture
def make_validation(
    make_proteins: MakeProteins, make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> Callable[..., ValidationBatches]:
    """Make validation batches of every second one of forty proteins."""

    def make(process: ProcessRank = ProcessRank()) -> ValidationBatches:  # noqa: B008  # immutable
        recipe = make_recipe()
        store = TokenStore.of(map(tokenizer.encode, make_proteins(40)))
        maker = Maker(store, masked_lm(tokenizer, recipe), recipe)
        return ValidationBatches(maker, np.arange(1, 40, 2), recipe.tokens_per_batch, process)

    return make


def all_of(batches: ValidationBatches) -> list[Example]:
    return [batches[i] for i in range(len(batches))]


def test_validation_shows_each_member_once_and_is_the_same_every_time(
    make_validation: Callable[..., ValidationBatches],
    make_proteins: MakeProteins,
    tokenizer: ProteinTokenizer,
) -> None:
    first, again = all_of(make_validation()), all_of(make_validation())
    assert all(map(are_same, first, again))
    spelt = [one for example in first for one in sequences_of(example, tokenizer)]
    cropped = [tokenizer.decode(tokenizer.encode(one)) for one in make_proteins(40)[1::2]]
    assert len(spelt) == len(cropped)
    assert all(any(one in whole for whole in cropped) for one in spelt)
    assert all(example.n_judged == len(example.rows) for example in first)
    assert max(len(example.batch.tokens) for example in first) <= 128


def test_every_process_has_as_many_validation_batches_and_what_is_one_too_many_counts_nothing(
    make_validation: Callable[..., ValidationBatches],
) -> None:
    alone = all_of(make_validation())
    n_processes = 4
    assert len(alone) % n_processes
    parts = [all_of(make_validation(ProcessRank(rank, n_processes))) for rank in range(n_processes)]
    assert len({len(part) for part in parts}) == 1
    in_turn = [example for row in zip(*parts, strict=True) for example in row]
    assert all(map(are_same, alone, in_turn))
    assert {example.n_judged for example in in_turn[len(alone) :]} == {0}
