"""What an encoder is made of. A model family is a choice of these fields."""

from dataclasses import dataclass
from typing import Literal

COUNTS = ("vocab_size", "d_model", "n_layers", "n_heads", "d_feedforward", "trained_length")
CHOICES = {
    "norm_order": ("pre", "post"),
    "positions": ("rotary", "learned", "none"),
    "feedforward": ("gelu", "relu", "swiglu"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderConfig:
    """The shape and the parts of one encoder, and of the head that predicts its tokens.

    ``mask_token`` switches on ESM-2's token dropout (Lin et al. 2023; Rao et al. 2020): embeddings of that
    token become zero and the others are scaled by (1 - 0.15 * 0.8) / (1 - share of masked tokens in the
    sequence). ``residual_scale`` divides each branch before it is added to the stream. ``trained_length``
    counts tokens, special ones too. ``norm_bias`` is that of every norm, unless ``block_norm_bias`` says
    otherwise of the two in each block. ``tied_head`` scores tokens with their own vectors. In a ``causal``
    encoder a token attends to itself and those before it.
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

    def __post_init__(self) -> None:
        for name in COUNTS:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number, at least 1")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {' or '.join(choices)}")
        if self.residual_scale <= 0:
            raise ValueError(f"residual_scale is {self.residual_scale}; it must be above 0")
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} does not divide by n_heads {self.n_heads}")
        if self.positions == "rotary" and self.d_head % 2:
            raise ValueError(f"rotary positions need an even head dim; d_model / n_heads is {self.d_head}")
        if self.positions == "learned" and self.n_positions < self.trained_length + self.position_offset:
            raise ValueError(
                f"n_positions {self.n_positions} is less than trained_length {self.trained_length} "
                f"+ position_offset {self.position_offset}"
            )

        if self.causal and self.mask_token is not None:
            raise ValueError(
                "token dropout (mask_token) looks at the whole sequence, which a causal encoder must not"
            )

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    @property
    def max_length(self) -> int | None:
        """The most tokens that a sequence may have; None where positions are not learned, so without end."""
        return self.n_positions - self.position_offset if self.positions == "learned" else None
