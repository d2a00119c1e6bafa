"""The norms of q and k: they are one value for callers, and plain arguments for an operation of torch."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast

from jaxtyping import Float
from torch import Tensor

Kind = Literal["layer", "rms"]


class Norm(NamedTuple):
    """Describes the norm of q, or of k.

    Attributes:
        kind: "layer" (LayerNorm, Ba et al. 2016) or "rms" (RMSNorm, Zhang and Sennrich 2019).
        eps: The number added to the variance.
        weight: The factor of each column.
        bias: What is added to each column; None for none.
    """

    kind: Kind
    eps: float
    weight: Float[Tensor, " d_model"]
    bias: Float[Tensor, " d_model"] | None


class QKNorm(NamedTuple):
    """Describes the norms of q and of k, each over the whole model width: all heads of a token together.

    ESM C normalises this way (Henry et al. 2020 normalise each head for itself).

    Attributes:
        kind: "layer" (LayerNorm, Ba et al. 2016) or "rms" (RMSNorm, Zhang and Sennrich 2019), for both.
        eps: The number added to the variance.
        q_weight: The factor of each column of q.
        k_weight: The factor of each column of k.
        q_bias: What is added to each column of q; None for none. Either both norms have a bias or neither
            has.
        k_bias: What is added to each column of k; None for none.
    """

    kind: Kind
    eps: float
    q_weight: Float[Tensor, " d_model"]
    k_weight: Float[Tensor, " d_model"]
    q_bias: Float[Tensor, " d_model"] | None
    k_bias: Float[Tensor, " d_model"] | None

    @classmethod
    def of(cls, kind: str | None, eps: float, parameters: Sequence[Tensor]) -> "QKNorm | None":
        """Make the norms from the parts that ``parts_of`` returned; None if it was given None.

        Args:
            kind: The kind of norm; None for none.
            eps: The number added to the variance.
            parameters: The weights of q and k, then their biases if there are any.
        """
        if kind is None:
            return None
        q_bias, k_bias = parameters[2:] or (None, None)
        return cls(cast(Kind, kind), eps, parameters[0], parameters[1], q_bias, k_bias)

    @property
    def of_q(self) -> Norm:
        """The norm that q gets."""
        return Norm(self.kind, self.eps, self.q_weight, self.q_bias)

    @property
    def of_k(self) -> Norm:
        """The norm that k gets."""
        return Norm(self.kind, self.eps, self.k_weight, self.k_bias)


def parts_of(norm: QKNorm | None) -> tuple[Kind | None, float, list[Tensor]]:
    """Return kind, eps, the weights, and the biases if there are any: plain arguments for an operation of
    torch.

    Args:
        norm: The norms of q and k; None for none.
    """
    if norm is None:
        return None, 0.0, []
    return norm.kind, norm.eps, [x for x in norm[2:] if isinstance(x, Tensor)]
