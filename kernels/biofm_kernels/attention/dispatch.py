"""Chooses between the implementations of attention, and runs the chosen one.

All of them get queries and keys that are rotated already. In the backward pass, biofm's own kernels take
``rotary`` and rotate gradients back as they write them; behind the others, a pass of its own does that.
"""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor

from biofm_kernels.attention import grouped, reference, varlen
from biofm_kernels.attention.reference import Keys, Queries, Sums, Window
from biofm_kernels.backends import Choice, chosen_by_hand, run, run_or_fall_back, triton_obstacle
from biofm_kernels.configs import LARGEST_HEAD_DIM
from biofm_kernels.packing import Packing, Rotary, Tiles, tile

T = TypeVar("T")

OPERATION = "attention"
PLAIN: dict[str, ModuleType] = {"varlen": varlen, "grouped": grouped, "reference": reference}
LARGEST_VARLEN_HEAD_DIM = 256


def choose(device: torch.device, dtype: torch.dtype, head_dim: int) -> Choice:
    """Choose the implementation for tensors of this kind, and say why."""
    by_hand = chosen_by_hand(("triton", *PLAIN))
    if by_hand is not None:
        return by_hand
    if device.type == "cpu":
        return Choice("grouped", "torch's kernel for the CPU, one call for each run of equal lengths")
    obstacle = triton_obstacle(OPERATION, device, dtype) or _head_dim_obstacle(head_dim)
    if obstacle is None:
        return Choice("triton", "biofm's own kernel")
    if _varlen_takes(device, dtype, head_dim):
        return Choice("varlen", f"torch's variable-length kernel: {obstacle}")
    return Choice("reference", obstacle)


def forward(
    q: Queries,
    k: Keys,
    v: Keys,
    packing: Packing,
    tiles: Tiles | None,
    scale: float,
    window: Window,
) -> tuple[Queries, Sums]:
    """Compute attention and the logarithm of each softmax's divisor."""

    def plain(implementation: ModuleType) -> tuple[Tensor, Tensor]:
        mixed: tuple[Tensor, Tensor] = implementation.forward(q, k, v, packing, scale, window)
        return mixed

    def kernel() -> tuple[Tensor, Tensor]:
        from biofm_kernels.attention import launch  # imports Triton, which only a GPU needs

        return launch.forward(q, k, v, tiles or _tile(packing, q, k), scale, window)

    return _run(q, kernel, plain)


def backward(
    d_out: Queries,
    q: Queries,
    k: Keys,
    v: Keys,
    out: Queries,
    lse: Sums,
    packing: Packing,
    tiles: Tiles | None,
    scale: float,
    window: Window,
    rotary: Rotary | None = None,
) -> tuple[Queries, Keys, Keys]:
    """Compute the gradients of q, k and v.

    Given ``rotary``, q and k are rotated already, and their gradients are those before the rotation.
    """

    def plain(implementation: ModuleType) -> tuple[Tensor, Tensor, Tensor]:
        d_q, d_k, d_v = implementation.backward(d_out, q, k, v, out, lse, packing, scale, window)
        if rotary is not None:
            back = rotary._replace(sin=-rotary.sin)  # rotates by the opposite angle
            d_q, d_k, *_ = run("qk_norm_rope", "forward", d_q, d_k, None, back)
        return d_q, d_k, d_v

    def kernel() -> tuple[Tensor, Tensor, Tensor]:
        from biofm_kernels.attention import launch

        tiles_of_both = tiles or _tile(packing, q, k)
        return launch.backward(d_out, q, k, v, out, lse, tiles_of_both, scale, window, rotary)

    return _run(q, kernel, plain)


def _run(q: Tensor, kernel: Callable[[], T], plain: Callable[[ModuleType], T]) -> T:
    """Run the chosen implementation; if biofm's kernel cannot be built, run the next one."""

    def chosen() -> str:
        return choose(q.device, q.dtype, q.shape[-1]).backend

    if chosen() == "triton":  # It is not chosen again once it could not be built.
        return run_or_fall_back(OPERATION, kernel, lambda: plain(PLAIN[chosen()]))
    return plain(PLAIN[chosen()])


def _tile(packing: Packing, q: Tensor, k: Tensor) -> Tiles:
    """Make the tiles that the caller has not given."""
    return tile(packing.cu_seqlens, len(k), packing.cu_queries, len(q))


def _head_dim_obstacle(head_dim: int) -> str | None:
    """Explain why biofm's kernels cannot take this head dim; return None if they can."""
    if head_dim % 2 == 0 and head_dim <= LARGEST_HEAD_DIM:
        return None
    return f"biofm's kernels take even head dims up to {LARGEST_HEAD_DIM}, not {head_dim}"


def _varlen_takes(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Return whether torch's variable-length kernel takes tensors of this kind.

    FlashAttention takes half precision and head dims of 8, 16, ... 256. Torch's interface to it takes windows
    and a scale since 2.12.
    """
    fits = head_dim % 8 == 0 and head_dim <= LARGEST_VARLEN_HEAD_DIM
    has_kernel = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if not (has_kernel and fits and dtype in (torch.float16, torch.bfloat16)):
        return False
    from torch.nn.attention.varlen import varlen_attn  # imports torch's compiler

    return {"scale", "window_size"} <= set(inspect.signature(varlen_attn).parameters)
