"""The causal objective: each token predicts the next one of its own sequence."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from biofm.modalities import ProteinTokenizer
from biofm.nn import MaskedLM, PackedBatch
from biofm.training.objectives import Example, Objective, causal_lm


@pytest.fixture
def example(
    batch_of: Callable[..., PackedBatch], label: Callable[..., Example], tokenizer: ProteinTokenizer
) -> Example:
    return label(causal_lm(tokenizer), batch_of(["MK", "ACD"]))


def test_the_targets_are_the_next_tokens_up_to_the_end_of_each_sequence(
    example: Example, tokenizer: ProteinTokenizer
) -> None:
    spelt = [tokenizer.vocabulary[token] for token in example.targets]
    assert spelt == ["M", "K", "<eos>", "A", "C", "D", "<eos>"]
    assert example.rows.tolist() == [0, 1, 2, 4, 5, 6, 7]
    before = [tokenizer.vocabulary[token] for token in example.batch.tokens[example.rows]]
    assert before == ["<cls>", "M", "K", "<cls>", "A", "C", "D"]


def test_the_loss_is_the_mean_over_all_next_tokens(
    example: Example, make_model: Callable[..., MaskedLM], tokenizer: ProteinTokenizer
) -> None:
    model = make_model(causal=True)
    logits = model(example.batch)
    by_hand = torch.stack(
        [
            -F.log_softmax(logits[row], -1)[target]
            for row, target in zip(example.rows, example.targets, strict=True)
        ]
    ).mean()
    torch.testing.assert_close(causal_lm(tokenizer).loss(model, example), by_hand)


def test_one_batch_is_learnt_by_heart(
    make_model: Callable[..., MaskedLM],
    make_proteins: Callable[..., list[str]],
    batch_of: Callable[..., PackedBatch],
    label: Callable[..., Example],
    tokenizer: ProteinTokenizer,
    overfit: Callable[[nn.Module, Objective, Example], float],
) -> None:
    objective = causal_lm(tokenizer)
    batch = batch_of(make_proteins(1, shortest=20, longest=20))
    assert overfit(make_model(causal=True), objective, label(objective, batch)) < 0.05
