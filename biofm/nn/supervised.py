"""Supervised models: they are an encoder and a head that predicts numbers for each sequence or for each
token.
"""

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
    """Computes the mean over the residues of each sequence: zeros for a sequence without residues.

    ``special_tokens`` are not residues. They are known by their numbers and not by their places, because a
    crop may lack them.
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
        """Return the mean over each sequence's residues."""
        return segment_mean(hidden, batch.cu_seqlens, self.is_residue[batch.tokens])


class AttentionPool(MeanPool):
    """Computes Σ softmax(x · query) x over the residues of each sequence.

    The query is learned; while it is 0, the result is the mean.
    """

    def __init__(self, encoder: Encoder, special_tokens: Sequence[int]) -> None:
        super().__init__(encoder, special_tokens)
        self.query = nn.Parameter(torch.zeros(encoder.config.d_model))

    def forward(
        self, hidden: Float[Tensor, "tokens d_model"], batch: PackedBatch
    ) -> Float[Tensor, "sequences d_model"]:
        # A sum instead of a matrix product: autocast would round the product, and these scores are
        # exponentiated.
        """Return the weighted mean over each sequence's residues."""
        scores = (hidden.float() * self.query).sum(-1)
        scores = scores.masked_fill(~self.is_residue[batch.tokens], -torch.inf)
        owners = batch.sequence_of_token()
        lowest = scores.new_full((batch.n_sequences,), torch.finfo(scores.dtype).min)
        highest = lowest.scatter_reduce(0, owners, scores.detach(), "amax")
        return segment_mean(hidden, batch.cu_seqlens, (scores - highest[owners]).exp())


class FirstToken(nn.Module):
    """Takes the vector of <cls>, which attends to the whole sequence."""

    def __init__(self, encoder: Encoder, special_tokens: Sequence[int]) -> None:
        super().__init__()
        assert not encoder.config.causal, "in a causal encoder <cls> sees nothing but itself"

    def forward(
        self, hidden: Float[Tensor, "tokens d_model"], batch: PackedBatch
    ) -> Float[Tensor, "sequences d_model"]:
        """Return the vector of each sequence's first token."""
        return hidden[batch.cu_seqlens[:-1].long()]


POOLS: dict[SequencePool, type[MeanPool | FirstToken]] = {
    "mean": MeanPool,
    "cls": FirstToken,
    "attention": AttentionPool,
}


class SequenceModel(nn.Module):
    """Predicts ``n_outputs`` numbers for each sequence: head(pool(encoder(tokens))).

    Args:
        encoder: The encoder.
        pool: How the tokens' vectors become one vector for each sequence.
        n_outputs: The number of predicted numbers.
        dropout: The share of the head's inputs that training drops.
        n_hidden: The width of the head's hidden layer; 0 for none.
        special_tokens: The tokens that are not residues, which pooling leaves out.
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
        """Return the predictions for each sequence.

        Args:
            batch: The sequences.
        """
        outputs: Tensor = self.head(self.pool(self.encoder(batch), batch))
        return outputs


class ResidueModel(nn.Module):
    """Predicts ``n_outputs`` numbers for each token, special ones included: head(encoder(tokens)).

    Args:
        encoder: The encoder.
        n_outputs: The number of predicted numbers.
        dropout: The share of the head's inputs that training drops.
        n_hidden: The width of the head's hidden layer; 0 for none.
    """

    def __init__(self, encoder: Encoder, n_outputs: int, dropout: float = 0.0, *, n_hidden: int = 0) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = prediction_head(encoder.config.d_model, n_outputs, dropout, n_hidden)

    def forward(self, batch: PackedBatch) -> Float[Tensor, "tokens outputs"]:
        """Return the predictions for each token.

        Args:
            batch: The sequences.
        """
        outputs: Tensor = self.head(self.encoder(batch))
        return outputs


def prediction_head(d_model: int, n_outputs: int, dropout: float, n_hidden: int) -> nn.Sequential:
    """Return a linear head with dropout, with or without a hidden layer.

    It computes linear(dropout(x)), or linear(dropout(gelu(linear(dropout(x))))) with a hidden layer.

    Args:
        d_model: The width of the input.
        n_outputs: The number of outputs.
        dropout: The share of inputs that training drops.
        n_hidden: The width of the hidden layer; 0 for none.
    """
    if not n_hidden:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(d_model, n_outputs))
    hidden = (nn.Dropout(dropout), nn.Linear(d_model, n_hidden), nn.GELU())
    return nn.Sequential(*hidden, nn.Dropout(dropout), nn.Linear(n_hidden, n_outputs))
