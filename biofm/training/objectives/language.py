"""Objectives of language models: the model predicts masked tokens, or the next token."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from biofm_datasets.arrays import Indices
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.modalities import Tokenizer
from biofm.nn import PackedBatch
from biofm.training.objectives.objective import Example, Labelled, Objective, cross_entropy
from biofm.training.recipe import PretrainRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Says how masked language modelling changes the tokens that the model sees.

    Attributes:
        share: Share of the scored tokens that the model predicts.
        mask: Share of these that become <mask>.
        random: Share of these that become a random scored token; the others stay as they are.
    """

    share: float
    mask: float = 0.8
    random: float = 0.1


def masked_lm(tokenizer: Tokenizer, recipe: PretrainRecipe) -> Objective:
    """Make the masked objective: the model predicts randomly chosen tokens from the others.

    Args:
        tokenizer: Says which tokens can be chosen, and which one is the mask.
        recipe: Says how many tokens are chosen, masked and replaced.

    Source: Devlin et al. 2019, section 3.1; for proteins Lin et al. 2023, supplement A.2.
    """
    rates = Rates(share=recipe.masked_share, mask=recipe.mask_rate, random=recipe.random_rate)
    is_scored = np.zeros(len(tokenizer.vocabulary), np.bool_)
    is_scored[tokenizer.scored] = True
    return Objective(partial(_mask, rates, is_scored, tokenizer.mask), _cross_entropy_of_rows)


def causal_lm(tokenizer: Tokenizer) -> Objective:
    """Make the causal objective: the model predicts each token, <eos> included, from those before it.

    Args:
        tokenizer: The tokenizer of the model.

    Source: Bengio et al. 2003.
    """
    return Objective(_shift, cross_entropy)


def _cross_entropy_of_rows(model: nn.Module, example: Example) -> Float[Tensor, ""]:
    """Compute the mean cross-entropy of the judged rows in nats; zero if a small batch has none.

    Only these rows pass through the end of the last block and the head.
    """
    logits = model(example.batch, example.batch.rows(example.rows))
    return F.cross_entropy(logits.float(), example.targets, reduction="sum") / max(1, len(example.targets))


def _mask(
    rates: Rates,
    is_scored: NDArray[np.bool_],
    mask: int,
    batch: PackedBatch,
    members: Indices,
    starts: Indices,
    rng: np.random.Generator,
) -> Labelled:
    tokens = batch.tokens.numpy()
    rows = np.flatnonzero(is_scored[tokens] & (rng.random(len(tokens)) < rates.share))
    fate = rng.random(len(rows))
    strangers = rng.choice(np.flatnonzero(is_scored), len(rows))
    there = tokens[rows]
    seen = np.where(fate < rates.mask, mask, np.where(fate < rates.mask + rates.random, strangers, there))
    changed = tokens.copy()
    changed[rows] = seen
    return Labelled(
        replace(batch, tokens=torch.from_numpy(changed)), torch.from_numpy(rows), torch.from_numpy(there)
    )


def _shift(batch: PackedBatch, members: Indices, starts: Indices, rng: np.random.Generator) -> Labelled:
    has_next = torch.ones(len(batch.tokens), dtype=torch.bool)
    has_next[batch.cu_seqlens[1:].long() - 1] = False
    rows = has_next.nonzero().squeeze(1)
    return Labelled(batch, rows, batch.tokens[rows + 1])
