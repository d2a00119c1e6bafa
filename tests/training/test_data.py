"""The batches of a run are a function of the data and the recipe, at every step."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest
import torch

from biofm.tokenizers import ProteinTokenizer
from biofm.training import Recipe
from biofm.training.data import MaskedBatches
from biofm.training.objective import MaskedBatch
from biofm.training.tokens import TokenStore

MakeProteins = Callable[..., list[str]]
MakeRecipe = Callable[..., Recipe]


def sequences_of(example: MaskedBatch, tokenizer: ProteinTokenizer) -> Iterator[str]:
    """The spelled sequences of a batch, its masks undone."""
    tokens = example.batch.tokens.clone()
    tokens[example.rows] = example.targets
    for one in tokens.tensor_split(example.batch.cu_seqlens[1:-1].tolist()):
        yield tokenizer.decode(one.numpy())


def are_same(first: MaskedBatch, second: MaskedBatch) -> bool:
    return (
        torch.equal(first.batch.tokens, second.batch.tokens)
        and torch.equal(first.rows, second.rows)
        and torch.equal(first.targets, second.targets)
        and torch.equal(first.batch.cu_seqlens, second.batch.cu_seqlens)
    )


def test_a_store_gives_each_sequence_its_tokens(tokenizer: ProteinTokenizer) -> None:
    proteins = ["MKT", "A", "WXW"]
    store = TokenStore(proteins, tokenizer)
    assert len(store) == 3
    assert store.lengths.tolist() == [5, 3, 5]
    for i, protein in enumerate(proteins):
        np.testing.assert_array_equal(store[i], tokenizer.encode(protein))


def test_every_epoch_sees_every_sequence_once_in_a_new_order(
    make_proteins: MakeProteins, make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> None:
    proteins = make_proteins(60, longest=60)
    batches = iter(MaskedBatches(TokenStore(proteins, tokenizer), tokenizer, make_recipe()))
    orders = []
    for _ in range(3):
        seen: list[str] = []
        while len(seen) < len(proteins):
            seen += [
                sequence[len("<cls>") : -len("<eos>")] for sequence in sequences_of(next(batches), tokenizer)
            ]
        assert Counter(seen) == Counter(proteins)
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]


def test_a_batch_keeps_the_budget_up_to_its_last_sequence(
    make_proteins: MakeProteins, make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> None:
    recipe = make_recipe(tokens_per_batch=300, max_length=62)
    store = TokenStore(make_proteins(200, longest=60), tokenizer)
    n_tokens = [len(example.batch.tokens) for example in islice(MaskedBatches(store, tokenizer, recipe), 30)]
    assert max(n_tokens) < 300 + 62
    assert np.mean(n_tokens) == pytest.approx(300, rel=0.05)


def test_a_sequence_longer_than_the_budget_comes_alone(
    make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> None:
    store = TokenStore(["A" * 50, "C" * 50, "D" * 50], tokenizer)
    recipe = make_recipe(tokens_per_batch=10)
    batches = list(islice(MaskedBatches(store, tokenizer, recipe), 3))
    assert [example.batch.n_sequences for example in batches] == [1, 1, 1]


def test_longer_sequences_give_crops_from_everywhere_and_within_themselves(
    make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> None:
    protein = "ACDEFGHIKL" * 2 + "MNPQRSTVWY"
    whole = tokenizer.decode(tokenizer.encode(protein))
    recipe = make_recipe(max_length=8)
    batches = MaskedBatches(TokenStore([protein], tokenizer), tokenizer, recipe)
    crops = Counter(crop for example in islice(batches, 400) for crop in sequences_of(example, tokenizer))
    assert all(crop in whole for crop in crops)
    tokens = tokenizer.encode(protein)  # 32 of them
    assert set(crops) == {tokenizer.decode(tokens[start : start + 8]) for start in range(25)}


def test_sequences_of_a_batch_go_from_short_to_long(
    make_proteins: MakeProteins, make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> None:
    batches = MaskedBatches(TokenStore(make_proteins(50), tokenizer), tokenizer, make_recipe())
    for example in islice(batches, 10):
        assert (example.batch.lengths.diff() >= 0).all()


@pytest.mark.parametrize("first_step", [1, 5, 23])  # an epoch has some 15 steps
def test_starting_at_a_step_is_the_same_as_skipping_to_it(
    first_step: int, make_proteins: MakeProteins, make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> None:
    store, recipe = TokenStore(make_proteins(40), tokenizer), make_recipe()
    skipped = islice(MaskedBatches(store, tokenizer, recipe), first_step, first_step + 4)
    started = islice(MaskedBatches(store, tokenizer, recipe, first_step), 4)
    assert all(are_same(*pair) for pair in zip(skipped, started, strict=True))


def test_another_seed_gives_other_batches_and_the_same_one_the_same(
    make_proteins: MakeProteins, make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> None:
    store = TokenStore(make_proteins(40), tokenizer)
    first, again, other = (
        next(iter(MaskedBatches(store, tokenizer, make_recipe(seed=seed)))) for seed in (1, 1, 2)
    )
    assert are_same(first, again)
    assert not are_same(first, other)


def test_a_sequence_is_masked_anew_in_each_epoch(
    make_recipe: MakeRecipe, tokenizer: ProteinTokenizer
) -> None:
    batches = MaskedBatches(TokenStore(["MKTAYIAKQR" * 4], tokenizer), tokenizer, make_recipe())
    first, second = islice(batches, 2)
    assert not torch.equal(first.rows, second.rows)
