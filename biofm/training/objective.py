"""The masked-language-model objective (Devlin et al. 2019, section 3.1; ESM-2: Lin et al. 2023, supplement
A.2).
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor
from torch.nn import functional as F

from biofm.nn import MaskedLM, PackedBatch
from biofm.tokenizers import ProteinTokenizer

MASKED, RANDOM = 0.8, 0.1  # of the chosen residues; the rest stay as they are


class MaskedBatch(NamedTuple):
    """What the model sees, which rows it must predict, and what stood there."""

    batch: PackedBatch
    rows: Int[Tensor, " chosen"]
    targets: Int[Tensor, " chosen"]


class Masker:
    """Chooses a share of the standard residues; of those 80 % become <mask>, 10 % a random residue, 10 %
    stay.
    """

    def __init__(self, tokenizer: ProteinTokenizer, share: float) -> None:
        self.share = share
        self.mask = tokenizer.mask
        self.standard = torch.from_numpy(tokenizer.standard).long()
        self.is_standard = torch.zeros(len(tokenizer.vocabulary), dtype=torch.bool)
        self.is_standard[self.standard] = True

    def __call__(self, batch: PackedBatch, generator: Generator) -> MaskedBatch:
        n = len(batch.tokens)
        rows = (
            (self.is_standard[batch.tokens] & (self._uniform(n, generator) < self.share)).nonzero().squeeze(1)
        )
        fate = self._uniform(len(rows), generator)
        strangers = self.standard[torch.randint(len(self.standard), (len(rows),), generator=generator)]
        targets = batch.tokens[rows]
        seen = torch.where(fate < MASKED, self.mask, torch.where(fate < MASKED + RANDOM, strangers, targets))
        tokens = batch.tokens.index_put((rows,), seen)
        return MaskedBatch(replace(batch, tokens=tokens), rows, targets)

    def _uniform(self, n: int, generator: Generator) -> Float[Tensor, " n"]:
        return torch.rand(n, generator=generator)


def masked_lm_loss(model: MaskedLM, example: MaskedBatch) -> Float[Tensor, ""]:
    """Mean cross-entropy in nats over the chosen rows; only they pass through the head.

    Zero where a small batch had no row chosen.
    """
    hidden = model.encoder(example.batch)[example.rows]
    total = F.cross_entropy(model.logits(hidden).float(), example.targets, reduction="sum")
    return total / max(1, len(example.targets))
