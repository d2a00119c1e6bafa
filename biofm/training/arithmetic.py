"""How much arithmetic a step of training is, by formula: for a speed beside what the machine can do, and for
the time that a run will take.
"""

from dataclasses import dataclass

from torch import nn

from biofm.nn import Encoder, EncoderConfig, MaskedLM

# Of attention, in products of the size of q kᵀ: two forward, and five backward, the scores once more among
# them, as in FlashAttention-2's count (Dao 2023, section 4.1).
ATTENTION_FORWARD, ATTENTION_BACKWARD = 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What passes through a model: tokens; pairs of tokens that may meet, which is the sum of the squares of
    the lengths; rows, which are the tokens that are judged; and pairs of a row and a token of its sequence.
    """

    n_tokens: int
    n_pairs: int
    n_rows: int = 0
    n_row_pairs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """The matrix products of one model. All else (norms, activations, the optimiser) is left out, as is
    usual.

    matrix_weights: of the blocks' matrices that every token passes. pair_products: d_model x layers, the cost
    of one product for a pair of tokens; half of it where a token sees only those before it. row_weights and
    row_pair_products: the same in the last block, where rows alone pass its end. head_weights: of the head's
    matrices, which rows alone pass.

    backward_products: in place of one product of a matrix forward. Two train it (the gradients of its input
    and of its weights); one passes it while it is frozen, under adapters.
    """

    matrix_weights: int
    pair_products: float
    head_weights: int = 0
    row_weights: int = 0
    row_pair_products: float = 0.0
    backward_products: int = 2

    def forward(self, work: Work) -> float:
        """Operations, a multiplication and an addition each counted as one."""
        return self._blocks(work) + 2 * work.n_rows * self.head_weights

    def step(self, work: Work, *, recomputed: bool = False) -> float:
        """Forward and backward; ``recomputed``: with the blocks forward once more, which is what activation
        checkpointing costs at most. Model FLOPs, of which MFU is made, do not count that (Chowdhery et al.
        2022, PaLM, appendix B).
        """
        matrices = self._matrices(work) + work.n_rows * self.head_weights
        attention = ATTENTION_BACKWARD * self._pairs(work)
        backward = 2 * (self.backward_products * matrices + attention)
        return self.forward(work) + backward + (self._blocks(work) if recomputed else 0.0)

    def _blocks(self, work: Work) -> float:
        return 2 * (self._matrices(work) + ATTENTION_FORWARD * self._pairs(work))

    def _matrices(self, work: Work) -> int:
        return work.n_tokens * self.matrix_weights + work.n_rows * self.row_weights

    def _pairs(self, work: Work) -> float:
        return work.n_pairs * self.pair_products + work.n_row_pairs * self.row_pair_products


def arithmetic_of(
    config: EncoderConfig, *, head_weights: int = 0, frozen: bool = False, rows_alone: bool = False
) -> Arithmetic:
    """That of an encoder and a head of so many weights. ``frozen``: only adapters beside it are trained.
    ``rows_alone``: of the tokens that are not judged, the last block makes queries, keys and values, no more.
    """
    n_wide = 3 if config.feedforward == "swiglu" else 2
    qkv = 3 * config.d_model**2
    block = qkv + config.d_model**2 + n_wide * config.d_model * config.d_feedforward
    pair = config.d_model * (0.5 if config.causal else 1.0)
    row_weights = block - qkv if rows_alone else 0
    return Arithmetic(
        matrix_weights=config.n_layers * block - row_weights,
        pair_products=(config.n_layers - 1 if rows_alone else config.n_layers) * pair,
        head_weights=head_weights,
        row_weights=row_weights,
        row_pair_products=pair if rows_alone else 0.0,
        backward_products=1 if frozen else 2,
    )


def arithmetic_of_model(model: nn.Module) -> Arithmetic:
    """That of a model with an encoder in it, by what of it learns: a masked one is judged at its rows
    alone.
    """
    encoder = next(part for part in model.modules() if isinstance(part, Encoder))
    config = encoder.config
    is_language_model = isinstance(model, MaskedLM)
    return arithmetic_of(
        config,
        head_weights=language_head_weights(config) if is_language_model else 0,
        frozen=not encoder.embedding.tokens.weight.requires_grad,
        rows_alone=is_language_model and not config.causal,
    )


def language_head_weights(config: EncoderConfig) -> int:
    """Of the head that predicts tokens: a square matrix, then one vector a token."""
    return config.d_model**2 + config.vocab_size * config.d_model
