"""The configuration of an encoder: each model family is a choice of its fields."""

from dataclasses import dataclass
from reprlib import repr as shortened
from typing import Literal

LARGEST = {
    "vocab_size": 1 << 20,
    "d_model": 1 << 16,
    "n_layers": 1 << 10,
    "n_heads": 1 << 10,
    "d_feedforward": 1 << 18,
    "trained_length": 1 << 24,
}
"""Upper limits of the fields: over ten times what any published model has. A file with more is damaged."""
MOST_SEGMENTS = 1 << 16
FLAGS = ("norm_bias", "embedding_norm", "final_norm", "linear_bias", "qk_norm", "tied_head", "causal")
CHOICES = {
    "norm_order": ("pre", "post"),
    "positions": ("rotary", "learned", "none"),
    "feedforward": ("gelu", "relu", "swiglu"),
    "values": ("none", "continuous"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """Holds the shape and the parts of one encoder, and of the head that predicts its tokens.

    Attributes:
        vocab_size: The number of tokens in the vocabulary.
        d_model: The width of the residual stream.
        n_layers: The number of blocks.
        n_heads: The number of attention heads; they divide ``d_model`` evenly.
        d_feedforward: The width inside the feed-forward part.
        trained_length: How many tokens, special ones included, a sequence had at most in training.
        norm_order: Whether a block normalises its input ("pre") or its output ("post").
        norm_bias: Whether the norms of the encoder have a bias.
        block_norm_bias: The same for the two norms in each block; None for ``norm_bias``.
        norm_eps: The epsilon of the norms.
        embedding_norm: Whether a norm follows the embedding.
        final_norm: Whether a norm follows the last block.
        linear_bias: Whether the projections of the blocks have a bias.
        positions: How the encoder knows positions: by rotation, by learned vectors, or not at all.
        n_positions: The number of learned position vectors; 0 if there are none.
        position_offset: Which of the learned vectors the first position has.
        feedforward: The activation of the feed-forward part, or "swiglu".
        qk_norm: Whether queries and keys are normalised.
        residual_scale: The number that divides each branch before it is added to the stream.
        mask_token: The token that ESM-2's token dropout (Lin et al. 2023; Rao et al. 2020) treats as masked:
            its embedding becomes zero, and the others are scaled by (1 - 0.15 * 0.8) / (1 - share of masked
            tokens in the sequence). None for no token dropout.
        tied_head: Whether the head scores tokens with their own embedding vectors.
        causal: Whether a token attends only to itself and to the tokens before it.
        values: "continuous" if every token has a number, for example a gene's expression, whose vector is
            added to the token's; else "none".
        n_segments: The number of segments (BERT's token types) that a token can belong to; the segment's
            vector is added to the token's. 0 for none.
    """

    vocab_size: int
    d_model: int
    n_layers: int
    n_heads: int
    d_feedforward: int
    trained_length: int
    norm_order: Literal["pre", "post"] = "pre"
    norm_bias: bool = True
    block_norm_bias: bool | None = None
    norm_eps: float = 1e-5
    embedding_norm: bool = False
    final_norm: bool = True
    linear_bias: bool = True
    positions: Literal["rotary", "learned", "none"] = "rotary"
    n_positions: int = 0
    position_offset: int = 0
    feedforward: Literal["gelu", "relu", "swiglu"] = "gelu"
    qk_norm: bool = False
    residual_scale: float = 1.0
    mask_token: int | None = None
    tied_head: bool = True
    causal: bool = False
    values: Literal["none", "continuous"] = "none"
    n_segments: int = 0

    def __post_init__(self) -> None:
        self._check_types()
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} does not divide by n_heads {self.n_heads}")
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(f"rotary positions need an even head dim; d_model / n_heads is {self.d_head}")
        if self.positions == "learned" and self.n_positions < self.trained_length + self.position_offset:
            raise ValueError(
                f"n_positions {self.n_positions} is less than trained_length {self.trained_length} "
                f"+ position_offset {self.position_offset}"
            )
        if self.mask_token is not None and not 0 <= self.mask_token < self.vocab_size:
            raise ValueError(f"mask_token {self.mask_token} must be below vocab_size {self.vocab_size}")
        if self.causal and self.mask_token is not None:
            raise ValueError(
                "token dropout (mask_token) looks at the whole sequence, which a causal encoder must not"
            )

    def _check_types(self) -> None:
        """Raise ValueError if a field has the wrong type or is out of range: a file may hold anything."""
        for name, most in LARGEST.items():
            _check_whole(name, getattr(self, name), 1, most)
        _check_whole("n_positions", self.n_positions, 0, LARGEST["trained_length"] + self.vocab_size)
        _check_whole("position_offset", self.position_offset, 0, self.vocab_size)
        _check_whole("n_segments", self.n_segments, 0, MOST_SEGMENTS)
        if self.mask_token is not None:
            _check_whole("mask_token", self.mask_token, 0, self.vocab_size)
        for name in FLAGS:
            _check_flag(name, getattr(self, name))
        if self.block_norm_bias is not None:
            _check_flag("block_norm_bias", self.block_norm_bias)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {shortened(getattr(self, name))}; it must be {' or '.join(choices)}"
                )
        _check_number("norm_eps", self.norm_eps, 1.0)
        _check_number("residual_scale", self.residual_scale, 1e6)

    @property
    def d_head(self) -> int:
        """The number of columns that each head has."""
        return self.d_model // self.n_heads

    @property
    def max_length(self) -> int | None:
        """The number of tokens that a sequence may have at most; None (no limit) unless positions are
        learned.
        """
        return self.n_positions - self.position_offset if self.positions == "learned" else None


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or value < least:
        raise ValueError(f"{name} is {shortened(value)}; it must be a whole number, at least {least}")
    if value > most:
        raise ValueError(f"{name} is {value:,}; it must be at most {most:,}")


def _check_number(name: str, value: object, most: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
    if not is_number:  # NaN fails the comparison too.
        raise ValueError(f"{name} is {shortened(value)}; it must be a number above 0, at most {most:g}")


def _check_flag(name: str, value: object) -> None:
    if type(value) is not bool:
        raise ValueError(f"{name} is {shortened(value)}; it must be true or false")
