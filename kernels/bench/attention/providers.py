"""The providers: they are biofm's modes and what torch has, and each computes attention in the benchmark."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from biofm_kernels import attention, qk_norm_rope
from biofm_kernels.attention.reference import EVERYTHING
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.attention.varlen import varlen_attn
from workloads import Batch, Pass, Turning, turned

Attend = Callable[[], Tensor]  # Returns (tokens, heads, head_dim), with a gradient if the provider has one.


class UnsuitableError(Exception):
    """Says why a provider cannot do what the workload asks."""


class Provider(NamedTuple):
    """Names a way to attend and builds it.

    ``build`` takes a batch and returns the function that attends over it, after everything that a model does
    once for all its layers.
    """

    name: str
    turning: Turning
    build: Callable[[Batch], Attend]

    def work(self, batch: Batch, which: Pass) -> Callable[[], list[Tensor]]:
        """Make the function that does one pass.

        It returns the output and, in a backward pass, the gradients of all inputs.
        """
        attend, inputs = self.build(batch), batch.inputs(self.turning)

        def work() -> list[Tensor]:
            out = attend()
            if which == "forward":
                return [out]
            return [out, *torch.autograd.grad(out, inputs, batch.d_out)]

        return work


def biofm_packed(turning: Turning, batch: Batch) -> Attend:
    """Build biofm's attention."""
    norm = batch.norm if turning == "norm" else None
    rotary = None if turning == "plain" else batch.rotary
    bounds = (batch.cu_seqlens, batch.max_seqlen)
    return lambda: attention(
        batch.q, batch.k, batch.v, *bounds,
        norm=norm, rotary=rotary, window=batch.workload.window, tiles=batch.tiles,
    )  # fmt: skip


def biofm_turned_for_varlen(batch: Batch) -> Attend:
    """Build biofm's rotation of q and k, then torch's kernel: a mode that large head dims may want."""

    def attend() -> Tensor:
        return _varlen(batch, *qk_norm_rope(batch.q, batch.k, None, batch.rotary))

    return attend


def torch_varlen(turning: Turning, is_compiled: bool, batch: Batch) -> Attend:
    """Build torch's variable-length kernel, with q and k rotated by plain torch, eager or compiled.

    The angles are looked up once for all layers.
    """
    if turning == "plain":
        return lambda: _varlen(batch, batch.q, batch.k)
    turn = compiled(turned, batch) if is_compiled else turned
    weights = batch.inputs(turning)[3:]
    cos, sin = (table[batch.rotary.q_positions] for table in (batch.rotary.cos, batch.rotary.sin))
    return lambda: _varlen(batch, *turn(batch.q, batch.k, weights, cos, sin, batch.norm.eps))


def _varlen(batch: Batch, q: Tensor, k: Tensor) -> Tensor:
    """Run torch's variable-length kernel."""
    bounds = (batch.cu_seqlens, batch.cu_seqlens, batch.max_seqlen, batch.max_seqlen)
    out = varlen_attn(q, k, batch.v, *bounds, window_size=batch.workload.window)
    assert isinstance(out, Tensor), "nothing else was asked for"
    return out


def torch_sdpa(kind: SDPBackend, batch: Batch) -> Attend:
    """Build torch's attention over sequences of equal length."""
    length = batch.workload.equal_length
    if length is None or batch.workload.window != EVERYTHING:
        raise UnsuitableError("takes only sequences of equal length, without a window")
    q, k, v = (x.unflatten(0, (-1, length)).transpose(1, 2) for x in (batch.q, batch.k, batch.v))

    def attend() -> Tensor:
        with sdpa_kernel(kind):
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)

    return attend


def torch_flex(batch: Batch) -> Attend:
    """Build torch's flex attention with a mask of the sequences."""
    lengths = torch.tensor(batch.workload.lengths, device=batch.q.device)
    document = torch.arange(len(lengths), device=batch.q.device).repeat_interleave(lengths)
    before, after = (batch.max_seqlen if side < 0 else side for side in batch.workload.window)

    def sees_key(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        distance = key - query
        return (document[query] == document[key]) & (distance >= -before) & (distance <= after)

    n_tokens = batch.workload.n_tokens
    mask = create_block_mask(sees_key, None, None, n_tokens, n_tokens, device=batch.q.device)
    q, k, v = (x.transpose(0, 1)[None] for x in (batch.q, batch.k, batch.v))
    attend: Callable[..., Tensor] = compiled(flex_attention, batch)
    return lambda: attend(q, k, v, block_mask=mask)[0].transpose(0, 1)


def compiled(function: Callable[..., Any], batch: Batch) -> Callable[..., Any]:
    """Compile a function for a GPU. On the CPU, where nothing is timed, return it as it is."""
    return _compiled(function) if batch.q.is_cuda else function


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function once."""
    torch._dynamo.config.recompile_limit = 64  # One for each shape.
    return torch.compile(function, dynamic=False)


BIOFM = (
    Provider("biofm, rotary", "rotary", partial(biofm_packed, "rotary")),
    Provider("biofm, no rotary", "plain", partial(biofm_packed, "plain")),
    Provider("biofm, LayerNorm and rotary", "norm", partial(biofm_packed, "norm")),
)
VARLEN = (
    Provider("varlen_attn, compiled rotary", "rotary", partial(torch_varlen, "rotary", True)),
    Provider("varlen_attn, biofm's rotary pass", "rotary", biofm_turned_for_varlen),
    Provider("varlen_attn, no rotary", "plain", partial(torch_varlen, "plain", False)),
    Provider("varlen_attn, compiled LayerNorm and rotary", "norm", partial(torch_varlen, "norm", True)),
    Provider("varlen_attn, eager rotary", "rotary", partial(torch_varlen, "rotary", False)),
)
SDPA = tuple(
    Provider(f"sdpa {name}, no rotary", "plain", partial(torch_sdpa, kind))
    for name, kind in {
        "flash": SDPBackend.FLASH_ATTENTION,
        "cuDNN": SDPBackend.CUDNN_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
    }.items()
)
FLEX = (Provider("flex_attention, no rotary", "plain", torch_flex),)
