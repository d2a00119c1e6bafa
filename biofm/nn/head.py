"""The language model: it is an encoder and a head that scores every token of the vocabulary."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn.config import EncoderConfig
from biofm.nn.contacts import ContactHead
from biofm.nn.encoder import Encoder
from biofm.nn.packing import PackedBatch, Rows


class MaskedLMHead(nn.Module):
    """Computes norm(gelu(dense(x))) Eᵀ + bias, where E are the encoder's own token vectors.

    This is the tied head of BERT and ESM-2.

    Args:
        config: The configuration of the encoder.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.d_model, config.d_model)
        self.norm = nn.LayerNorm(config.d_model, eps=config.norm_eps)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def forward(
        self, x: Float[Tensor, "tokens d_model"], token_vectors: Float[Tensor, "vocab d_model"]
    ) -> Float[Tensor, "tokens vocab"]:
        """Return the scores of all tokens of the vocabulary.

        Args:
            x: Last hidden states.
            token_vectors: The embedding vector of each token of the vocabulary.
        """
        return F.linear(self.norm(F.gelu(self.dense(x))), token_vectors, self.bias)


class UntiedMaskedLMHead(MaskedLMHead):
    """Scores tokens like ``MaskedLMHead``, but with its own matrix instead of the token vectors (ESM C)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__(config)
        self.weight = nn.Parameter(torch.zeros(config.vocab_size, config.d_model))

    def forward(
        self, x: Float[Tensor, "tokens d_model"], token_vectors: Float[Tensor, "vocab d_model"]
    ) -> Float[Tensor, "tokens vocab"]:
        """Return the scores of all tokens of the vocabulary. The token vectors are not used."""
        return super().forward(x, self.weight)


def masked_lm_head(config: EncoderConfig) -> MaskedLMHead:
    """Return the head of a model: tied to the token vectors or not, as the configuration says."""
    return MaskedLMHead(config) if config.tied_head else UntiedMaskedLMHead(config)


class MaskedLM(nn.Module):
    """Holds an encoder, a head that predicts tokens and a head that predicts contacts.

    Args:
        config: The configuration of the encoder.
        with_head: Whether the model predicts tokens; without it ``head`` is None.
        with_contacts: Whether the model predicts contacts; without it ``contacts`` is None.
    """

    def __init__(self, config: EncoderConfig, *, with_head: bool = True, with_contacts: bool = False) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = masked_lm_head(config) if with_head else None
        self.contacts = ContactHead(config) if with_contacts else None

    def forward(self, batch: PackedBatch, rows: Rows | None = None) -> Float[Tensor, "rows vocab"]:
        """Return the scores of the vocabulary at every token, or at ``rows`` only.

        Args:
            batch: The sequences.
            rows: The tokens to return scores for; None for all.
        """
        return self.logits(self.encoder(batch, rows=rows))

    def logits(self, hidden: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens vocab"]:
        """Return the scores of the vocabulary for last hidden states.

        There is one score for every row of the matrix of token vectors, as in the original models: ESM C has
        64 rows for 33 tokens. Probabilities are over all rows; the rows without a token were never right in
        training.

        Args:
            hidden: Last hidden states of any tokens.
        """
        assert self.head is not None, "this checkpoint has no language-model head"
        scores: Tensor = self.head(hidden, self.encoder.embedding.tokens.weight)
        return scores
