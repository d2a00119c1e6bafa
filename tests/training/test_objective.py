"""Masks are random in the way that BERT's are, and only the chosen residues count."""

from collections.abc import Callable
from math import sqrt

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from biofm.nn import MaskedLM, PackedBatch, pack
from biofm.tokenizers import ProteinTokenizer
from biofm.training.objective import MASKED, RANDOM, MaskedBatch, Masker, masked_lm_loss

SHARE = 0.25
N_SIGMAS = 5


def batch_of(sequences: list[str], tokenizer: ProteinTokenizer) -> PackedBatch:
    return pack([torch.from_numpy(tokenizer.encode(sequence)).long() for sequence in sequences])


def mask(batch: PackedBatch, tokenizer: ProteinTokenizer, seed: int = 0, share: float = SHARE) -> MaskedBatch:
    return Masker(tokenizer, share)(batch, Generator().manual_seed(seed))


def is_near(count: int, n: int, share: float) -> bool:
    """Whether a count is within five standard deviations of a binomial one."""
    return abs(count - n * share) < N_SIGMAS * sqrt(n * share * (1 - share))


@pytest.fixture
def large_batch(make_proteins: Callable[..., list[str]], tokenizer: ProteinTokenizer) -> PackedBatch:
    return batch_of(make_proteins(100, shortest=400, longest=400), tokenizer)


@pytest.mark.parametrize("share", [0.15, 0.5])
def test_the_asked_share_of_residues_is_chosen(
    share: float, large_batch: PackedBatch, tokenizer: ProteinTokenizer
) -> None:
    example = mask(large_batch, tokenizer, share=share)
    assert is_near(len(example.rows), 100 * 400, share)


def test_of_the_chosen_80_percent_are_masked_10_random_10_unchanged(
    large_batch: PackedBatch, tokenizer: ProteinTokenizer
) -> None:
    example = mask(large_batch, tokenizer)
    seen, n = example.batch.tokens[example.rows], len(example.rows)
    n_masked = int((seen == tokenizer.mask).sum())
    n_same = int((seen == example.targets).sum())
    assert is_near(n_masked, n, MASKED)
    assert is_near(n - n_masked - n_same, n, RANDOM * 19 / 20)  # one stranger in twenty is the residue itself
    assert is_near(n_same, n, 1 - MASKED - RANDOM + RANDOM / 20)
    assert (MASKED, RANDOM) == (0.8, 0.1)


def test_a_stranger_is_every_standard_residue_alike(
    large_batch: PackedBatch, tokenizer: ProteinTokenizer
) -> None:
    example = mask(large_batch, tokenizer, share=0.9)
    seen = example.batch.tokens[example.rows]
    strangers = seen[(seen != tokenizer.mask) & (seen != example.targets)]
    counts = torch.bincount(strangers, minlength=len(tokenizer.vocabulary))
    assert set(counts.nonzero().flatten().tolist()) == set(tokenizer.standard.tolist())
    assert all(is_near(int(counts[i]), len(strangers), 1 / 20) for i in tokenizer.standard)


def test_what_is_no_standard_residue_is_never_chosen(tokenizer: ProteinTokenizer) -> None:
    batch = batch_of(["XBUZO.-J<mask>" * 20, "A", "X"], tokenizer)
    example = mask(batch, tokenizer, share=0.999999)
    assert example.targets.tolist() == [tokenizer.number["A"]]


def test_the_targets_are_what_stood_there_and_the_rest_is_left_alone(
    large_batch: PackedBatch, tokenizer: ProteinTokenizer
) -> None:
    before = large_batch.tokens.clone()
    example = mask(large_batch, tokenizer)
    restored = example.batch.tokens.clone()
    restored[example.rows] = example.targets
    assert torch.equal(restored, before)
    assert torch.equal(large_batch.tokens, before)  # the caller's batch is not written to
    assert torch.equal(example.batch.positions, large_batch.positions)
    assert torch.equal(example.batch.cu_seqlens, large_batch.cu_seqlens)


def test_the_same_generator_gives_the_same_masks_and_another_does_not(
    large_batch: PackedBatch, tokenizer: ProteinTokenizer
) -> None:
    first, again, other = (mask(large_batch, tokenizer, seed) for seed in (1, 1, 2))
    assert torch.equal(first.batch.tokens, again.batch.tokens)
    assert torch.equal(first.rows, again.rows)
    assert not torch.equal(first.batch.tokens, other.batch.tokens)


def loss_over_all_logits(model: MaskedLM, example: MaskedBatch) -> Tensor:
    """The textbook's way: every token through the head, targets of -100 where nothing is asked."""
    targets = torch.full_like(example.batch.tokens, -100)
    targets[example.rows] = example.targets
    return F.cross_entropy(model(example.batch), targets)


def test_the_loss_is_that_of_all_logits_at_the_chosen_rows(
    make_model: Callable[[], MaskedLM], make_proteins: Callable[..., list[str]], tokenizer: ProteinTokenizer
) -> None:
    model = make_model()
    example = mask(batch_of(make_proteins(5), tokenizer), tokenizer)
    losses = masked_lm_loss(model, example), loss_over_all_logits(model, example)
    gradients = [torch.autograd.grad(loss, list(model.parameters())) for loss in losses]
    torch.testing.assert_close(*losses)
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_batch_with_nothing_chosen_has_no_loss_and_no_gradient(
    make_model: Callable[[], MaskedLM], tokenizer: ProteinTokenizer
) -> None:
    model = make_model()
    loss = masked_lm_loss(model, mask(batch_of(["XXXX"], tokenizer), tokenizer))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert all(not weight.grad.any() for weight in model.parameters() if weight.grad is not None)
