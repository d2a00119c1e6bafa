"""The launches that ``compile.py`` compiles: a name for each, and a call of the operation's own launcher."""

from collections.abc import Callable
from functools import partial

import torch
from biofm_kernels.attention import triton as attention
from biofm_kernels.packing import Rotary, tile

N_HEADS = 20
N_TOKENS = 64


def attention_both_ways(dtype: torch.dtype, head_dim: int, mode: str) -> None:
    """Forward and backward over views of one projection: ``plain``, in a ``window``, or with ``rotary``."""
    q, k, v = torch.zeros(N_TOKENS, 3, N_HEADS, head_dim, dtype=dtype).unbind(1)
    cu_seqlens = torch.tensor([0, N_TOKENS], dtype=torch.int32)
    tiles = tile(cu_seqlens, N_TOKENS, cu_seqlens, N_TOKENS)
    angles = torch.zeros(N_TOKENS, head_dim // 2)
    positions = torch.arange(N_TOKENS, dtype=torch.int32)
    rotary = Rotary(angles, angles, positions, positions) if mode == "rotary" else None
    window = (128, 64) if mode == "window" else (-1, -1)
    out, lse = attention.forward(q, k, v, tiles, head_dim**-0.5, window, rotary)
    attention.backward(out, q, k, v, out, lse, tiles, head_dim**-0.5, window, rotary)


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
    (torch.float32, 64, "rotary"),
    (torch.float32, 128, "rotary"),
]

SPECIMENS: dict[str, Callable[[], None]] = {
    f"attention {str(dtype).removeprefix('torch.')} {head_dim} {mode}": partial(
        attention_both_ways, dtype, head_dim, mode
    )
    for dtype, head_dim, mode in ATTENTION
}
