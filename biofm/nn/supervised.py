"""Supervised models: an encoder, one vector a sequence or a residue, and a head that makes it numbers."""

from collections.abc import Sequence
from typing import Literal

import torch
from biofm_kernels import segment_mean
from jaxtyping import Float
from torch import Tensor, nn

from biofm.nn.encoder import Encoder
from biofm.nn.packing import PackedBatch

SequencePool = Literal["mean", "cls", "attention"]


class MeanPool(nn.Module):
    """The mean over the residues; zeros for a sequence without one.

    ``special_tokens`` are no residues. They are known by their numbers, because a crop may come without them.
    """

    def __init__(self, encoder: Encoder, special_tokens: Sequence[int]) -> None:
        super().__init__()
        is_residue = torch.ones(encoder.config.vocab_size, dtype=torch.bool)
        is_residue[list(special_tokens)] = False
        self.register_buffer("is_residue", is_residue, persistent=False)
        self.is_residue: Tensor

    def forward(
        self, hidden: Float[Tensor, "tokens d_model"], batch: PackedBatch
    ) -> Float[Tensor, "sequences d_model"]:
        return segment_mean(hidden, batch.cu_seqlens, self.is_residue[batch.tokens])


class AttentionPool(MeanPool):
    """Σ softmax(x · query) x over the residues of each sequence, by a query that is learned; while it is 0,
    the mean.
    """

    def __init__(self, encoder: Encoder, special_tokens: Sequence[int]) -> None:
        super().__init__(encoder, special_tokens)
        self.query = nn.Parameter(torch.zeros(encoder.config.d_model))

    def forward(
        self, hidden: Float[Tensor, "tokens d_model"], batch: PackedBatch
    ) -> Float[Tensor, "sequences d_model"]:
        # No product of matrices, which autocast would round: weights are exponentials of these sums.
        scores = (hidden.float() * self.query).sum(-1)
        scores = scores.masked_fill(~self.is_residue[batch.tokens], -torch.inf)
        owners = batch.sequence_of_token()
        lowest = scores.new_full((batch.n_sequences,), torch.finfo(scores.dtype).min)
        highest = lowest.scatter_reduce(0, owners, scores.detach(), "amax")
        return segment_mean(hidden, batch.cu_seqlens, (scores - highest[owners]).exp())


class FirstToken(nn.Module):
    """The vector of <cls>, which has seen the whole sequence."""

    def __init__(self, encoder: Encoder, special_tokens: Sequence[int]) -> None:
        super().__init__()
        assert not encoder.config.causal, "in a causal encoder <cls> sees nothing but itself"

    def forward(
        self, hidden: Float[Tensor, "tokens d_model"], batch: PackedBatch
    ) -> Float[Tensor, "sequences d_model"]:
        return hidden[batch.cu_seqlens[:-1].long()]


POOLS: dict[SequencePool, type[MeanPool | FirstToken]] = {
    "mean": MeanPool,
    "cls": FirstToken,
    "attention": AttentionPool,
}


class SequenceModel(nn.Module):
    """head(pool(encoder(tokens))): ``n_outputs`` numbers a sequence.

    ``n_hidden`` is the width of a hidden layer of the head; 0 is none.
    """

    def __init__(
        self,
        encoder: Encoder,
        pool: SequencePool,
        n_outputs: int,
        dropout: float = 0.0,
        *,
        n_hidden: int = 0,
        special_tokens: Sequence[int],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pool = POOLS[pool](encoder, special_tokens)
        self.head = prediction_head(encoder.config.d_model, n_outputs, dropout, n_hidden)

    def forward(self, batch: PackedBatch) -> Float[Tensor, "sequences outputs"]:
        outputs: Tensor = self.head(self.pool(self.encoder(batch), batch))
        return outputs


class ResidueModel(nn.Module):
    """head(encoder(tokens)): ``n_outputs`` numbers a token, special ones too."""

    def __init__(self, encoder: Encoder, n_outputs: int, dropout: float = 0.0, *, n_hidden: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = prediction_head(encoder.config.d_model, n_outputs, dropout, n_hidden)

    def forward(self, batch: PackedBatch) -> Float[Tensor, "tokens outputs"]:
        outputs: Tensor = self.head(self.encoder(batch))
        return outputs


def prediction_head(d_model: int, n_outputs: int, dropout: float, n_hidden: int) -> nn.Sequential:
    """linear(dropout(x)), or linear(dropout(gelu(linear(dropout(x))))) with a hidden layer."""
    if not n_hidden:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(d_model, n_outputs))
    hidden = (nn.Dropout(dropout), nn.Linear(d_model, n_hidden), nn.GELU())
    return nn.Sequential(*hidden, nn.Dropout(dropout), nn.Linear(n_hidden, n_outputs))
