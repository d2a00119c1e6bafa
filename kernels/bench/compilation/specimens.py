"""The launches that ``compile.py`` compiles: each has a name, and calls the operation's own launcher."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from biofm_kernels.attention import launch as attention
from biofm_kernels.linear_cross_entropy import kernels as linear_cross_entropy
from biofm_kernels.packing import Rotary, tile
from biofm_kernels.qk_norm_rope import QKNorm
from biofm_kernels.qk_norm_rope import kernels as qk_norm_rope
from biofm_kernels.segment_mean import kernels as segment_mean

N_HEADS = 20
N_TOKENS = 64
ONE_SEQUENCE = torch.tensor([0, N_TOKENS], dtype=torch.int32)


def make_rotary(head_dim: int) -> Rotary:
    """Make a rotation of zero angles."""
    angles = torch.zeros(N_TOKENS, head_dim // 2)
    positions = torch.arange(N_TOKENS)
    return Rotary(angles, angles, positions, positions)


def attention_both_ways(dtype: torch.dtype, head_dim: int, mode: str) -> None:
    """Launch forward and backward over views of one projection: ``plain``, in a ``window``, or with gradients
    that are rotated back (``rotary``).
    """
    q, k, v = torch.zeros(N_TOKENS, 3, N_HEADS, head_dim, dtype=dtype).unbind(1)
    tiles = tile(ONE_SEQUENCE, N_TOKENS, ONE_SEQUENCE, N_TOKENS)
    rotary = make_rotary(head_dim) if mode == "rotary" else None
    window = (128, 64) if mode == "window" else (-1, -1)
    out, lse = attention.forward(q, k, v, tiles, head_dim**-0.5, window)
    attention.backward(out, q, k, v, out, lse, tiles, head_dim**-0.5, window, rotary)


def qk_norm_rope_both_ways(
    dtype: torch.dtype, n_heads: int, head_dim: int, kind: Literal["layer", "rms"] | None
) -> None:
    """Launch forward and, with a norm, backward."""
    q, k, _ = torch.zeros(N_TOKENS, 3, n_heads, head_dim, dtype=dtype).unbind(1)
    weight = torch.zeros(n_heads * head_dim, dtype=dtype)
    norm = None if kind is None else QKNorm(kind, 1e-5, weight, weight, weight, weight)
    q_out, k_out, q_stats, k_stats = qk_norm_rope.forward(q, k, norm, make_rotary(head_dim))
    if norm is not None:
        qk_norm_rope.backward(q_out, k_out, q, k, q_stats, k_stats, norm, None)


def segment_mean_both_ways(dtype: torch.dtype) -> None:
    """Launch forward and backward."""
    x = torch.zeros(N_TOKENS, 1280, dtype=dtype)
    means, totals = segment_mean.forward(x, ONE_SEQUENCE, None)
    segment_mean.backward(means, ONE_SEQUENCE, N_TOKENS, None, totals, None, None)


def linear_cross_entropy_both_ways(dtype: torch.dtype) -> None:
    """Launch forward and backward."""
    hidden, weight = torch.zeros(N_TOKENS, 768, dtype=dtype), torch.zeros(25_426, 768, dtype=dtype)
    bias, targets = torch.zeros(25_426, dtype=dtype), torch.zeros(N_TOKENS, dtype=torch.long)
    losses, lse = linear_cross_entropy.forward(hidden, weight, bias, targets)
    linear_cross_entropy.backward(losses, hidden, weight, bias, targets, lse)


ATTENTION = [
    (torch.bfloat16, 24, "rotary"),
    (torch.bfloat16, 32, "window"),
    (torch.bfloat16, 32, "rotary"),
    (torch.bfloat16, 64, "plain"),
    (torch.bfloat16, 64, "window"),
    (torch.bfloat16, 64, "rotary"),
    (torch.bfloat16, 128, "window"),
    (torch.bfloat16, 128, "rotary"),
    (torch.float16, 64, "rotary"),
    (torch.float32, 32, "rotary"),
    (torch.float32, 64, "plain"),
    (torch.float32, 64, "window"),
    (torch.float32, 64, "rotary"),
    (torch.float32, 80, "plain"),
    (torch.float32, 80, "window"),
    (torch.float32, 80, "rotary"),
    (torch.float32, 128, "plain"),
    (torch.float32, 128, "window"),
    (torch.float32, 128, "rotary"),
]

SPECIMENS: dict[str, Callable[[], None]] = {
    f"attention {str(dtype).removeprefix('torch.')} {head_dim} {mode}": partial(
        attention_both_ways, dtype, head_dim, mode
    )
    for dtype, head_dim, mode in ATTENTION
}
ROWS: dict[str, Callable[[torch.dtype], None]] = {
    "qk_norm_rope 20x64 rotary": lambda dtype: qk_norm_rope_both_ways(dtype, 20, 64, None),
    "qk_norm_rope 20x24 rotary": lambda dtype: qk_norm_rope_both_ways(dtype, 20, 24, None),
    "qk_norm_rope 15x64 layer": lambda dtype: qk_norm_rope_both_ways(dtype, 15, 64, "layer"),
    "qk_norm_rope 40x64 layer": lambda dtype: qk_norm_rope_both_ways(dtype, 40, 64, "layer"),
    "qk_norm_rope 20x64 rms": lambda dtype: qk_norm_rope_both_ways(dtype, 20, 64, "rms"),
    "segment_mean 1280": segment_mean_both_ways,
    "linear_cross_entropy 768 25426": linear_cross_entropy_both_ways,
}
SPECIMENS |= {
    f"{name} {str(dtype).removeprefix('torch.')}": partial(run, dtype)
    for name, run in ROWS.items()
    for dtype in (torch.bfloat16, torch.float32)
}
