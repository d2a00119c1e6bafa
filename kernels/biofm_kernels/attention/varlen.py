"""Computes packed attention by torch's own variable-length kernel (FlashAttention), for CUDA in half
precision.
"""

import torch

from biofm_kernels.attention.reference import Keys, Queries, Sums, Window
from biofm_kernels.packing import Packing


def forward(
    q: Queries,
    k: Keys,
    v: Keys,
    packing: Packing,
    scale: float,
    window: Window,
) -> tuple[Queries, Sums]:
    """Compute the same as ``reference.forward``."""
    # This imports torch's compiler: half of the time that a command on a CPU takes to start.
    from torch.nn.attention.varlen import AuxRequest, varlen_attn

    # No sequence has more queries than keys, so its length bounds them without asking the device.
    bounds = (packing.cu_queries, packing.cu_seqlens, min(packing.max_seqlen, len(q)), packing.max_seqlen)
    mixed, lse = varlen_attn(
        q, k, v, *bounds, return_aux=AuxRequest(lse=True), scale=scale, window_size=window
    )
    return mixed, lse


def backward(
    d_out: Queries,
    q: Queries,
    k: Keys,
    v: Keys,
    out: Queries,
    lse: Sums,
    packing: Packing,
    scale: float,
    window: Window,
) -> tuple[Queries, Keys, Keys]:
    """Compute the same as ``reference.backward``, by autograd.

    Torch's own backward kernel has no public name, so the forward pass runs once more.
    """
    with torch.enable_grad():
        q, k, v = (x.detach().requires_grad_() for x in (q, k, v))
        mixed, _ = forward(q, k, v, packing, scale, window)
    d_q, d_k, d_v = torch.autograd.grad(mixed, (q, k, v), d_out)
    return d_q, d_k, d_v
