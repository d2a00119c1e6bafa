"""The masked-language-model objective (Devlin et al. 2019, section 3.1; ESM-2: Lin et al. 2023, supplement
A.2).
"""

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
from biofm.training.objectives.objective import Example, Labelled, Objective
from biofm.training.recipe import PretrainRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """``share`` of the standard residues are chosen; of those ``mask`` become <mask>, ``random`` a random
    residue, and the others stay.
    """

    share: float
    mask: float = 0.8
    random: float = 0.1


def masked_lm(tokenizer: Tokenizer, recipe: PretrainRecipe) -> Objective:
    """Residues chosen at the recipe's rates, to be told from the others."""
    rates = Rates(share=recipe.masked_share, mask=recipe.mask_rate, random=recipe.random_rate)
    is_scored = np.zeros(len(tokenizer.vocabulary), np.bool_)
    is_scored[tokenizer.scored] = True
    return Objective(partial(_mask, rates, is_scored, tokenizer.mask), _cross_entropy)


def _cross_entropy(model: nn.Module, example: Example) -> Float[Tensor, ""]:
    """Mean over the judged rows, in nats; only they pass through the end of the last block and the head.

    Zero where a small batch has none.
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
