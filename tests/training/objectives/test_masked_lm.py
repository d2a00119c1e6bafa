"""The masked objective: masks are random as BERT's are, and only the chosen residues count."""

import pickle
from collections.abc import Callable
from math import sqrt

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.modalities import ProteinTokenizer
from biofm.nn import MaskedLM, PackedBatch
from biofm.training import PretrainRecipe
from biofm.training.objectives import Example, Objective, masked_lm

BatchOf = Callable[[list[str]], PackedBatch]
Label = Callable[..., Example]
MakeObjective = Callable[..., Objective]
N_SIGMAS = 5


def is_near(count: int, n: int, share: float) -> bool:
    """Return whether a count is within five standard deviations of its binomial mean."""
    return abs(count - n * share) <= N_SIGMAS * sqrt(n * share * (1 - share))


@pytest.fixture
def objective(make_recipe: Callable[..., PretrainRecipe], tokenizer: ProteinTokenizer) -> MakeObjective:
    return lambda **rates: masked_lm(tokenizer, make_recipe(**rates))


@pytest.fixture
def large_batch(make_proteins: Callable[..., list[str]], batch_of: BatchOf) -> PackedBatch:
    return batch_of(make_proteins(100, shortest=400, longest=400))


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_the_asked_share_of_residues_is_chosen(
    share: float, objective: MakeObjective, large_batch: PackedBatch, label: Label
) -> None:
    example = label(objective(masked_share=share), large_batch)
    assert is_near(len(example.rows), 100 * 400, share)


@pytest.mark.parametrize(("masked", "random"), [(0.8, 0.1), (0.5, 0.3), (1.0, 0.0), (0.0, 0.0)])
def test_the_chosen_are_masked_replaced_and_left_at_the_stated_rates(
    masked: float,
    random: float,
    objective: MakeObjective,
    large_batch: PackedBatch,
    label: Label,
    tokenizer: ProteinTokenizer,
) -> None:
    example = label(objective(mask_rate=masked, random_rate=random), large_batch)
    seen, n = example.batch.tokens[example.rows], len(example.rows)
    n_masked = int((seen == tokenizer.mask).sum())
    n_same = int((seen == example.targets).sum())
    assert is_near(n_masked, n, masked)
    assert is_near(n - n_masked - n_same, n, random * 19 / 20)  # one stranger in twenty is the residue itself
    assert is_near(n_same, n, 1 - masked - random + random / 20)


def test_without_being_told_80_percent_are_masked_and_10_replaced(
    make_recipe: Callable[..., PretrainRecipe],
) -> None:
    recipe = make_recipe()
    assert (recipe.mask_rate, recipe.random_rate) == (0.8, 0.1)


def test_a_stranger_is_every_standard_residue_alike(
    objective: MakeObjective, large_batch: PackedBatch, label: Label, tokenizer: ProteinTokenizer
) -> None:
    example = label(objective(masked_share=0.9), large_batch)
    seen = example.batch.tokens[example.rows]
    strangers = seen[(seen != tokenizer.mask) & (seen != example.targets)]
    counts = torch.bincount(strangers, minlength=len(tokenizer.vocabulary))
    assert set(counts.nonzero().flatten().tolist()) == set(tokenizer.scored.tolist())
    assert all(is_near(int(counts[i]), len(strangers), 1 / 20) for i in tokenizer.scored)


def test_what_is_no_standard_residue_is_never_chosen(
    objective: MakeObjective, batch_of: BatchOf, label: Label, tokenizer: ProteinTokenizer
) -> None:
    example = label(objective(masked_share=0.999999), batch_of(["XBUZO.-J<mask>" * 20, "A", "X"]))
    assert example.targets.tolist() == [tokenizer.number["A"]]


def test_the_targets_are_what_stood_there_and_the_rest_is_left_alone(
    objective: MakeObjective, large_batch: PackedBatch, label: Label
) -> None:
    before = large_batch.tokens.clone()
    example = label(objective(), large_batch)
    restored = example.batch.tokens.clone()
    restored[example.rows] = example.targets
    assert torch.equal(restored, before)
    assert torch.equal(large_batch.tokens, before)  # the caller's batch is not written to
    assert torch.equal(example.batch.positions, large_batch.positions)
    assert torch.equal(example.batch.cu_seqlens, large_batch.cu_seqlens)


def test_the_same_random_numbers_give_the_same_masks_and_others_do_not(
    objective: MakeObjective, large_batch: PackedBatch, label: Label
) -> None:
    first, again, other = (label(objective(), large_batch, seed) for seed in (1, 1, 2))
    assert torch.equal(first.batch.tokens, again.batch.tokens)
    assert torch.equal(first.rows, again.rows)
    assert not torch.equal(first.batch.tokens, other.batch.tokens)


def test_an_objective_can_be_sent_to_another_process(
    objective: MakeObjective, large_batch: PackedBatch, label: Label
) -> None:
    sent = pickle.loads(pickle.dumps(objective()))
    assert torch.equal(label(sent, large_batch).rows, label(objective(), large_batch).rows)


def loss_over_all_logits(model: MaskedLM, example: Example) -> Tensor:
    """Compute the loss as textbooks do: every token passes the head, and -100 marks unused targets."""
    targets = torch.full_like(example.batch.tokens, -100)
    targets[example.rows] = example.targets
    return F.cross_entropy(model(example.batch), targets)


def test_the_loss_is_that_of_all_logits_at_the_chosen_rows(
    make_model: Callable[[], MaskedLM],
    make_proteins: Callable[..., list[str]],
    objective: MakeObjective,
    batch_of: BatchOf,
    label: Label,
) -> None:
    model, masked = make_model(), objective()
    example = label(masked, batch_of(make_proteins(5)))
    losses = masked.loss(model, example), loss_over_all_logits(model, example)
    gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss in losses]
    torch.testing.assert_close(*losses)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_batch_with_nothing_chosen_has_no_loss_and_no_gradient(
    make_model: Callable[[], MaskedLM], objective: MakeObjective, batch_of: BatchOf, label: Label
) -> None:
    model, masked = make_model(), objective()
    loss = masked.loss(model, label(masked, batch_of(["XXXX"])))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert all(not weight.grad.any() for weight in model.parameters() if weight.grad is not None)


def test_one_batch_is_learnt_by_heart(
    make_model: Callable[[], MaskedLM],
    make_proteins: Callable[..., list[str]],
    objective: MakeObjective,
    batch_of: BatchOf,
    label: Label,
    overfit: Callable[[nn.Module, Objective, Example], float],
) -> None:
    masked = objective()
    example = label(masked, batch_of(make_proteins(2, shortest=20, longest=20)))
    assert overfit(make_model(), masked, example) < 0.05
