"""One attention function; the backend follows from where the tensors are and what they hold."""

from collections.abc import Callable
from types import ModuleType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from biofm_kernels.attention import grouped, varlen


def attention(
    q: Float[Tensor, "queries heads head_dim"],
    k: Float[Tensor, "tokens heads head_dim"],
    v: Float[Tensor, "tokens heads head_dim"],
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    max_seqlen: int,
    cu_queries: Int[Tensor, " sequences_plus_one"] | None = None,
) -> Float[Tensor, "queries heads head_dim"]:
    """softmax(q kᵀ / sqrt(head_dim)) v within each sequence of a packed batch, no token seeing another
    sequence.

    ``cu_seqlens`` (int32) bounds the sequences: tokens ``cu_seqlens[i]`` up to ``cu_seqlens[i + 1]`` are
    sequence i. All tensors lie on one device; ``max_seqlen`` is the longest length, which a GPU kernel needs
    without asking the device. Where only some tokens ask, ``cu_queries`` (int32) bounds the rows of ``q`` of
    each sequence, at most as many as it has tokens.
    """
    run: Callable[..., Tensor] = backend_for(q.device.type, q.dtype, q.shape[-1]).attention
    return run(q, k, v, cu_seqlens, max_seqlen, cu_queries)


def backend_for(device: str, dtype: torch.dtype, head_dim: int) -> ModuleType:
    """The module that computes attention there.

    FlashAttention takes half precision and head dims of 8, 16, ... 256.
    """
    half = dtype in (torch.float16, torch.bfloat16)
    if device == "cuda" and half and head_dim % 8 == 0 and head_dim <= 256:
        return varlen
    return grouped
