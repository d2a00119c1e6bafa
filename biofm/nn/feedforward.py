"""The position-wise part of a block."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from biofm.nn.config import EncoderConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}


class FeedForward(nn.Module):
    """down(activation(up(x))); GELU in its exact form (erf)."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.feedforward]
        self.up = nn.Linear(config.d_model, config.d_feedforward, bias=config.linear_bias)
        self.down = nn.Linear(config.d_feedforward, config.d_model, bias=config.linear_bias)

    def forward(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
        y: Tensor = self.down(self.activation(self.up(x)))
        return y


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer 2020), gate and up in one projection."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.gate_up = nn.Linear(config.d_model, 2 * config.d_feedforward, bias=config.linear_bias)
        self.down = nn.Linear(config.d_feedforward, config.d_model, bias=config.linear_bias)

    def forward(self, x: Float[Tensor, "tokens d_model"]) -> Float[Tensor, "tokens d_model"]:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        y: Tensor = self.down(F.silu(gate) * up)
        return y


def feed_forward(config: EncoderConfig) -> FeedForward | SwiGLU:
    return SwiGLU(config) if config.feedforward == "swiglu" else FeedForward(config)
