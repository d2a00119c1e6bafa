"""Packed attention by torch's own variable-length kernel (FlashAttention), for CUDA in half precision."""

import torch
from jaxtyping import Float
from torch import Tensor

from biofm_kernels.attention.reference import Window
from biofm_kernels.packing import Packing


def forward(
    q: Float[Tensor, "queries heads head_dim"],
    k: Float[Tensor, "tokens heads head_dim"],
    v: Float[Tensor, "tokens heads head_dim"],
    packing: Packing,
    scale: float,
    window: Window,
) -> tuple[Float[Tensor, "queries heads head_dim"], Float[Tensor, "heads queries"]]:
    """The same as ``reference.forward``."""
    # Brings torch's compiler with it: half of the time that a command on a CPU takes to start.
    from torch.nn.attention.varlen import AuxRequest, varlen_attn

    # No sequence has more queries than keys, so its length bounds them without asking the device.
    bounds = (packing.cu_queries, packing.cu_seqlens, min(packing.max_seqlen, len(q)), packing.max_seqlen)
    mixed, lse = varlen_attn(
        q, k, v, *bounds, return_aux=AuxRequest(lse=True), scale=scale, window_size=window
    )
    return mixed, lse


def backward(
    d_out: Float[Tensor, "queries heads head_dim"],
    q: Float[Tensor, "queries heads head_dim"],
    k: Float[Tensor, "tokens heads head_dim"],
    v: Float[Tensor, "tokens heads head_dim"],
    out: Float[Tensor, "queries heads head_dim"],
    lse: Float[Tensor, "heads queries"],
    packing: Packing,
    scale: float,
    window: Window,
) -> tuple[
    Float[Tensor, "queries heads head_dim"],
    Float[Tensor, "tokens heads head_dim"],
    Float[Tensor, "tokens heads head_dim"],
]:
    """The same as ``reference.backward``, by autograd: torch's own backward kernel has no public name, so the
    forward pass is run once more.
    """
    with torch.enable_grad():
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        mixed, _ = forward(q, k, v, packing, scale, window)
    d_q, d_k, d_v = torch.autograd.grad(mixed, (q, k, v), d_out)
    return d_q, d_k, d_v
