"""The causal objective: each token but the last is followed by its successor (Bengio et al. 2003)."""

import numpy as np
import torch
from biofm_datasets.arrays import Indices

from biofm.modalities import Tokenizer
from biofm.nn import PackedBatch
from biofm.training.objectives.classification import cross_entropy
from biofm.training.objectives.objective import Labelled, Objective


def causal_lm(tokenizer: Tokenizer) -> Objective:
    """The next token at every place, <eos> included; for an encoder that sees no later tokens."""
    return Objective(_shift, cross_entropy)


def _shift(batch: PackedBatch, members: Indices, starts: Indices, rng: np.random.Generator) -> Labelled:
    has_next = torch.ones(len(batch.tokens), dtype=torch.bool)
    has_next[batch.cu_seqlens[1:].long() - 1] = False
    rows = has_next.nonzero().squeeze(1)
    return Labelled(batch, rows, batch.tokens[rows + 1])
