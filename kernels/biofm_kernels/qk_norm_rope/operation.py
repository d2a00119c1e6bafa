"""Norm and rotation as an operation of torch: this module defines it for autograd, compile and export."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from biofm_kernels.backends import run
from biofm_kernels.packing import Rotary
from biofm_kernels.precision import exact_dtype
from biofm_kernels.qk_norm_rope.norm import QKNorm, parts_of
from biofm_kernels.registration import register


def qk_norm_rope(
    q: Float[Tensor, "queries heads head_dim"],
    k: Float[Tensor, "tokens heads head_dim"],
    norm: QKNorm | None,
    rotary: Rotary | None,
) -> tuple[Float[Tensor, "queries heads head_dim"], Float[Tensor, "tokens heads head_dim"]]:
    """Compute rotate(norm(q)) and rotate(norm(k)) in float32, and return them in the dtype of q.

    The norm is over all heads of a token together, the rotation (Su et al. 2021, section 3.2.2) over each
    head.

    Args:
        q: The queries.
        k: The keys.
        norm: The norms of q and k; None for none.
        rotary: The rotation; None for none.
    """
    assert q.shape[-1] % 2 == 0, "the head dim is odd, so a head has no two halves"
    check_turning(q, k, norm, rotary)
    kind, eps, parameters = parts_of(norm)
    q_out, k_out, _, _ = _qk_norm_rope(q, k, kind, eps, parameters, [] if rotary is None else list(rotary))
    return q_out, k_out


def check_turning(q: Tensor, k: Tensor, norm: QKNorm | None, rotary: Rotary | None) -> None:
    """Check that norm and rotation fit q and k.

    A kernel would read wrong memory if they did not fit, so this fails first.

    Args:
        q: The queries.
        k: The keys.
        norm: The norms of q and k; None for none.
        rotary: The rotation; None for none.
    """
    if norm is not None:
        assert (norm.q_bias is None) == (norm.k_bias is None), "either both norms have a bias or neither has"
        d_model = q.shape[1] * q.shape[2]
        weights = (norm.q_weight, norm.k_weight, norm.q_bias, norm.k_bias)
        assert all(x is None or x.shape == (d_model,) for x in weights), (
            "a norm needs one weight for each column"
        )
    if rotary is not None:
        assert rotary.cos.shape == rotary.sin.shape, "cos and sin differ in shape"
        assert 2 * rotary.cos.shape[1] == q.shape[2], "an angle rotates a pair of columns"
        assert rotary.cos.dtype in (torch.float32, torch.float64), "rounded angles misplace distant tokens"
        assert rotary.q_positions.shape == q.shape[:1], "each row of q needs a position"
        assert rotary.k_positions.shape == k.shape[:1], "each row of k needs a position"


def _forward(
    q: Tensor,
    k: Tensor,
    kind: str | None,
    eps: float,
    parameters: Sequence[Tensor],
    rotary: Sequence[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute q and k, normalised and rotated, and the statistics of their norms."""
    outputs = run("qk_norm_rope", "forward", q, k, QKNorm.of(kind, eps, parameters), _rotary(rotary))
    return cast(tuple[Tensor, Tensor, Tensor, Tensor], outputs)


def _fake_forward(
    q: Tensor,
    k: Tensor,
    kind: str | None,
    eps: float,
    parameters: Sequence[Tensor],
    rotary: Sequence[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Make empty results of ``_forward``'s shapes."""
    exact = exact_dtype(q)
    q_stats, k_stats = (x.new_empty(0 if kind is None else x.shape[0], 2, dtype=exact) for x in (q, k))
    return q.new_empty(q.shape), k.new_empty(k.shape), q_stats, k_stats


def _backward(
    d_q_out: Tensor,
    d_k_out: Tensor,
    q: Tensor,
    k: Tensor,
    q_stats: Tensor,
    k_stats: Tensor,
    kind: str,
    eps: float,
    parameters: Sequence[Tensor],
    rotary: Sequence[Tensor],
) -> list[Tensor]:
    """Compute the gradients of q, k and the parameters of the norm, which must exist."""
    gradients = run(
        "qk_norm_rope",
        "backward",
        d_q_out,
        d_k_out,
        q,
        k,
        q_stats,
        k_stats,
        QKNorm.of(kind, eps, parameters),
        _rotary(rotary),
    )
    return [gradient for gradient in gradients if gradient is not None]


def _fake_backward(
    d_q_out: Tensor,
    d_k_out: Tensor,
    q: Tensor,
    k: Tensor,
    q_stats: Tensor,
    k_stats: Tensor,
    kind: str,
    eps: float,
    parameters: Sequence[Tensor],
    rotary: Sequence[Tensor],
) -> list[Tensor]:
    """Make empty results of ``_backward``'s shapes."""
    return [x.new_empty(x.shape) for x in (q, k, *parameters)]


def _rotary(tensors: Sequence[Tensor]) -> Rotary | None:
    """Put the parts of the rotation together; None if there is no rotation."""
    return Rotary(*tensors) if tensors else None


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep what the backward pass reads. Without a norm it needs neither q nor k: they are not read to rotate
    back.
    """
    q, k, ctx.kind, ctx.eps, parameters, rotary = inputs
    normed = [] if ctx.kind is None else [q, k, *output[2:]]
    ctx.sizes = [len(normed), len(parameters), len(rotary)]
    ctx.save_for_backward(*normed, *parameters, *rotary)


def _differentiate(
    ctx: Any, d_q_out: Tensor, d_k_out: Tensor, *of_stats: Tensor
) -> tuple[Tensor, Tensor, None, None, list[Tensor], list[None]]:
    """Compute the gradient of every argument; None for those that have none."""
    saved = iter(ctx.saved_tensors)
    normed, parameters, rotary = ([next(saved) for _ in range(size)] for size in ctx.sizes)
    if ctx.kind is None:  # Rotate by the opposite angle.
        back = [rotary[0], -rotary[1], *rotary[2:]] if rotary else []
        d_q, d_k, _, _ = _qk_norm_rope(d_q_out, d_k_out, None, 0.0, [], back)
        return d_q, d_k, None, None, [], [None] * len(rotary)
    d_q, d_k, *d_parameters = _qk_norm_rope_backward(
        d_q_out, d_k_out, *normed, ctx.kind, ctx.eps, parameters, rotary
    )
    return d_q, d_k, None, None, d_parameters, [None] * len(rotary)


_qk_norm_rope = register("qk_norm_rope", _forward, _fake_forward, save=_save, differentiate=_differentiate)
_qk_norm_rope_backward = register("qk_norm_rope_backward", _backward, _fake_backward)
