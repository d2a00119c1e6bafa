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
    the lengths; and rows that reach the head.
    """

    n_tokens: int
    n_pairs: int
    n_rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """The matrix products of one model. All else (norms, activations, the optimiser) is left out, as is
    usual.

    matrix_weights: of the blocks' matrices, which every token passes. head_weights: of the head's, which
    rows alone pass. pair_products: d_model x layers, the cost of one product for a pair of tokens; half of
    it where a token sees only those before it.

    backward_products: in place of one product of a matrix forward. Two train it (the gradients of its input
    and of its weights); one passes it while it is frozen, under adapters.
    """

    matrix_weights: int
    head_weights: int
    pair_products: float
    backward_products: int = 2

    def forward(self, work: Work) -> float:
        """Operations, a multiplication and an addition each counted as one."""
        matrices = work.n_tokens * self.matrix_weights + work.n_rows * self.head_weights
        return 2 * (matrices + ATTENTION_FORWARD * work.n_pairs * self.pair_products)

    def step(self, work: Work, *, recomputed: bool = False) -> float:
        """Forward and backward; ``recomputed``: with the blocks forward once more, which is what activation
        checkpointing costs at most. Model FLOPs, of which MFU is made, do not count that (Chowdhery et al.
        2022, PaLM, appendix B).
        """
        matrices = work.n_tokens * self.matrix_weights + work.n_rows * self.head_weights
        attention = ATTENTION_BACKWARD * work.n_pairs * self.pair_products
        backward = 2 * (self.backward_products * matrices + attention)
        again = self.forward(Work(n_tokens=work.n_tokens, n_pairs=work.n_pairs)) if recomputed else 0.0
        return self.forward(work) + backward + again


def arithmetic_of(config: EncoderConfig, *, head_weights: int = 0, frozen: bool = False) -> Arithmetic:
    """That of an encoder and a head of so many weights. ``frozen``: only adapters beside it are trained."""
    n_wide = 3 if config.feedforward == "swiglu" else 2
    block = 4 * config.d_model**2 + n_wide * config.d_model * config.d_feedforward
    return Arithmetic(
        matrix_weights=config.n_layers * block,
        head_weights=head_weights,
        pair_products=config.n_layers * config.d_model * (0.5 if config.causal else 1.0),
        backward_products=1 if frozen else 2,
    )


def arithmetic_of_model(model: nn.Module) -> Arithmetic:
    """That of a model with an encoder in it, by what of it learns."""
    encoder = next(part for part in model.modules() if isinstance(part, Encoder))
    config = encoder.config
    return arithmetic_of(
        config,
        head_weights=language_head_weights(config) if isinstance(model, MaskedLM) else 0,
        frozen=not encoder.embedding.tokens.weight.requires_grad,
    )


def language_head_weights(config: EncoderConfig) -> int:
    """Of the head that predicts tokens: a square matrix, then one vector a token."""
    return config.d_model**2 + config.vocab_size * config.d_model
