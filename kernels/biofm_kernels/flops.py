"""Arithmetic: tells torch's counter how many operations each of ours does.

    with FlopCounterMode(display=False) as counter:
        ...
    counter.get_total_flops()

The formulas have their own module because torch's counter imports Triton, and warns where it is missing.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from biofm_kernels.attention.operation import Call

__all__ = ["FlopCounterMode"]


@register_flop_formula(torch.ops.biofm.attention, get_raw=True)
def attention_flops(*arguments: Any, **_: object) -> int:
    """Count two matrix products: 2 heads head_dim operations each for every pair of a query and a key it may
    see.
    """
    return 4 * _n_pairs(Call(*arguments[:-1]))


@register_flop_formula(torch.ops.biofm.attention_backward, get_raw=True)
def attention_backward_flops(
    d_out: Tensor, out: Tensor, lse: Tensor, turned: Any, *arguments: Any, **_: object
) -> int:
    """Count five matrix products, as FlashAttention-2's count does (Dao 2023, section 4.1)."""
    return 10 * _n_pairs(Call(*arguments))


@register_flop_formula(torch.ops.biofm.linear_cross_entropy)
def linear_cross_entropy_flops(hidden: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    """Count one matrix product: the logits."""
    return 2 * hidden[0] * weight[0] * weight[1]


@register_flop_formula(torch.ops.biofm.linear_cross_entropy_backward)
def linear_cross_entropy_backward_flops(
    d_losses: Sequence[int], hidden: Sequence[int], weight: Sequence[int], *_: object, **__: object
) -> int:
    """Count three matrix products: the logits again, then the gradients of hidden and of weight."""
    return 6 * hidden[0] * weight[0] * weight[1]


def _n_pairs(call: Call) -> int:
    """Count the pairs of a query and a key that it may see, times heads and head_dim.

    If the lengths are not known, this is the largest number that is possible.
    """
    if isinstance(call.cu_seqlens, FakeTensor) or call.cu_seqlens.is_meta:
        n_pairs = len(call.q) * call.max_seqlen
    else:
        lengths, n_queries = (cu.cpu().long().diff() for cu in (call.cu_seqlens, call.cu_queries))
        if call.left >= 0 or call.right >= 0:
            seen = 1 + sum(call.max_seqlen if side < 0 else side for side in (call.left, call.right))
            lengths = lengths.clamp(max=seen)
        n_pairs = int((lengths * n_queries).sum())
    return n_pairs * call.q.shape[1] * call.q.shape[2]
