"""The norms of q and k, as one value and as the plain arguments that an operation of torch takes."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from jaxtyping import Float
from torch import Tensor

Kind = Literal["layer", "rms"]


class Norm(NamedTuple):
    """The norm of q alone, or of k alone."""

    kind: Kind
    eps: float
    weight: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None


class QKNorm(NamedTuple):
    """The norms of q and of k, each over the whole model width: all heads of a token together, as in ESM C
    (Henry et al. 2020 norm each head for itself).

    ``kind`` is "layer" (LayerNorm, Ba et al. 2016) or "rms" (RMSNorm, Zhang and Sennrich 2019). Either both
    have a bias or neither.
    """

    kind: Kind
    eps: float
    q_weight: Float[Tensor, " d_model"]
    k_weight: Float[Tensor, " d_model"]
    q_bias: Float[Tensor, " d_model"] | None
    k_bias: Float[Tensor, " d_model"] | None

    @classmethod
    def of(cls, kind: str | None, eps: float, parameters: Sequence[Tensor]) -> "QKNorm | None":
        """The norms whose parts ``parts_of`` gave; None where it was given None."""
        if kind is None:
            return None
        q_bias, k_bias = parameters[2:] or (None, None)
        return cls(cast(Kind, kind), eps, parameters[0], parameters[1], q_bias, k_bias)

    @property
    def of_q(self) -> Norm:
        return Norm(self.kind, self.eps, self.q_weight, self.q_bias)

    @property
    def of_k(self) -> Norm:
        return Norm(self.kind, self.eps, self.k_weight, self.k_bias)


def parts_of(norm: QKNorm | None) -> tuple[Kind | None, float, list[Tensor]]:
    """Kind, eps, the weights, and the biases if there are any: plain arguments for an operation of torch."""
    if norm is None:
        return None, 0.0, []
    return norm.kind, norm.eps, [x for x in norm[2:] if isinstance(x, Tensor)]
