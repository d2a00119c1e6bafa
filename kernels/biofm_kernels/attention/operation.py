"""Attention as an operation of torch: this module defines it for autograd, compile and export.

Norms, rotation and attention are one operation. Kernels can therefore rotate gradients back when they write
them, and the operation keeps only what its backward pass reads.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from biofm_kernels import backends
from biofm_kernels.attention import dispatch
from biofm_kernels.attention.reference import EVERYTHING, Window
from biofm_kernels.packing import Packing, Rotary, Tiles
from biofm_kernels.precision import exact_dtype
from biofm_kernels.qk_norm_rope import QKNorm, check_turning, parts_of
from biofm_kernels.registration import register


def attention(
    q: Float[Tensor, "queries heads head_dim"],
    k: Float[Tensor, "tokens heads head_dim"],
    v: Float[Tensor, "tokens heads head_dim"],
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    max_seqlen: int,
    cu_queries: Int[Tensor, " sequences_plus_one"] | None = None,
    *,
    norm: QKNorm | None = None,
    rotary: Rotary | None = None,
    window: Window = EVERYTHING,
    scale: float | None = None,
    tiles: Tiles | None = None,
) -> Float[Tensor, "queries heads head_dim"]:
    """Compute attention over packed sequences: softmax(q kᵀ scale) v within each sequence.

    No token sees another sequence. q and k are normalised and rotated first, if asked. All tensors lie on one
    device. Gradients are first derivatives, in reverse mode.

    Args:
        q: The queries.
        k: The keys.
        v: The values.
        cu_seqlens: The bounds of the sequences, int32: tokens ``cu_seqlens[i]`` up to ``cu_seqlens[i + 1]``
            are sequence i. Every token belongs to a sequence.
        max_seqlen: The length of the longest sequence in tokens; with it a GPU kernel need not ask the
            device.
        cu_queries: The bounds of the sequences in q, int32, where only some tokens are queries: at most as
            many as the sequence has tokens. Each of them sees the whole sequence. None if all tokens are
            queries.
        norm: The norms of q and k; None for none.
        rotary: The rotation of q and k; None for none.
        window: How many tokens before and behind itself a token sees; -1 is all, so that (-1, 0) is causal.
        scale: The factor of the scores, above 0; None for 1 / sqrt(head_dim).
        tiles: What ``tile`` returns for this batch, so that a GPU need not make it again. None makes it.
    """
    assert window == EVERYTHING or cu_queries is None, "with a window, every token must be a query"
    assert cu_queries is None or cu_queries.shape == cu_seqlens.shape, (
        "cu_queries and cu_seqlens differ in length"
    )
    assert scale is None or scale > 0, "scale must be above 0"
    check_turning(q, k, norm, rotary)
    kind, eps, parameters = parts_of(norm)
    call = Call(
        q, k, v, cu_seqlens, cu_seqlens if cu_queries is None else cu_queries, max_seqlen, list(tiles or ()),
        q.shape[-1] ** -0.5 if scale is None else scale, *window, kind, eps, parameters, list(rotary or ()),
    )  # fmt: skip
    keeps = torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v, *call.parameters))
    out: Tensor = _attention(*call, keeps)[0]
    return out


class Call(NamedTuple):
    """Holds the operation's arguments. Torch lets an operation take tensors, plain values and lists of
    them.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    cu_seqlens: Tensor
    cu_queries: Tensor
    max_seqlen: int
    tiles: Sequence[Tensor]
    scale: float
    left: int
    right: int
    norm_kind: str | None
    norm_eps: float
    parameters: Sequence[Tensor]
    rotary: Sequence[Tensor]

    @property
    def turns(self) -> bool:
        """Whether q and k still have to be normalised or rotated."""
        return self.norm_kind is not None or len(self.rotary) > 0

    @property
    def angles(self) -> Rotary | None:
        """The rotation of q and k; None where there is none."""
        return Rotary(*self.rotary) if self.rotary else None

    @property
    def norm(self) -> QKNorm | None:
        """The norms of q and k; None where there are none."""
        return QKNorm.of(self.norm_kind, self.norm_eps, self.parameters)

    @property
    def layout(self) -> tuple[Packing, Tiles | None, float, Window]:
        """What every implementation is given besides q, k and v."""
        packing = Packing(self.cu_seqlens, self.cu_queries, self.max_seqlen)
        tiles = Tiles(*self.tiles) if self.tiles else None
        return packing, tiles, self.scale, (self.left, self.right)


TENSORS = ("q", "k", "v", "cu_seqlens", "cu_queries")
LISTS = ("tiles", "parameters", "rotary")
ARGUMENTS = """Tensor q, Tensor k, Tensor v, Tensor cu_seqlens, Tensor cu_queries, SymInt max_seqlen,
    Tensor[] tiles, float scale, SymInt left, SymInt right, str? norm_kind, float norm_eps,
    Tensor[] parameters, Tensor[] rotary"""


def _forward(*arguments: Any) -> tuple[Tensor, ...]:
    """Compute attention, the logarithm of each softmax's divisor, and what the backward pass reads.

    The latter are q and k as attention uses them, and the statistics of their norms. They are empty if q and
    k stay as they are, or if nothing is kept.
    """
    call, keeps = Call(*arguments[:-1]), arguments[-1]
    nothing = _nothing_kept(call)
    if not call.turns:
        return *dispatch.forward(call.q, call.k, call.v, *call.layout), *nothing
    turned_q, turned_k, *stats = backends.run(
        "qk_norm_rope", "forward", call.q, call.k, call.norm, call.angles
    )
    mixed = dispatch.forward(turned_q, turned_k, call.v, *call.layout)
    return *mixed, *((turned_q, turned_k, *stats) if keeps else nothing)


def _fake_forward(*arguments: Any) -> tuple[Tensor, ...]:
    """Make empty results of ``_forward``'s shapes."""
    call, keeps = Call(*arguments[:-1]), arguments[-1]
    n_queries, n_heads, _ = call.q.shape
    lse = call.q.new_empty(n_heads, n_queries, dtype=exact_dtype(call.q))
    kept = _nothing_kept(call)
    if keeps and call.turns:
        stats = kept[2:]
        if call.norm is not None:
            stats = [x.new_empty(x.shape[0], 2, dtype=exact_dtype(x)) for x in (call.q, call.k)]
        kept = [call.q.new_empty(call.q.shape), call.k.new_empty(call.k.shape), *stats]
    return call.q.new_empty(call.q.shape), lse, *kept


def _backward(
    d_out: Tensor, out: Tensor, lse: Tensor, turned: Sequence[Tensor], *arguments: Any
) -> list[Tensor]:
    """Compute the gradients of q, k, v and of the norms' parameters.

    ``turned`` holds q and k as attention used them, and the statistics of their norms. It is empty if there
    are no norms; then q and k themselves are rotated already.
    """
    call = Call(*arguments)
    q, k, *stats = turned or (call.q, call.k)
    d_q, d_k, d_v = dispatch.backward(d_out, q, k, call.v, out, lse, *call.layout, rotary=call.angles)
    if call.norm is None:
        return [d_q, d_k, d_v]
    d_q, d_k, *d_parameters = backends.run(
        "qk_norm_rope", "backward", d_q, d_k, call.q, call.k, *stats, call.norm, None
    )
    return [d_q, d_k, d_v, *(d for d in d_parameters if d is not None)]


def _fake_backward(*arguments: Any) -> list[Tensor]:
    """Make empty results of ``_backward``'s shapes."""
    call = Call(*arguments[-len(Call._fields) :])
    return [x.new_empty(x.shape) for x in (call.q, call.k, call.v, *call.parameters)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep what the backward pass reads."""
    call, keeps = Call(*inputs[:-1]), inputs[-1]
    assert keeps, "nothing was kept for a backward pass"
    out, lse, *turned = output
    if call.norm is None:
        if call.turns:  # To rotate gradients back, q and k before the rotation are not needed.
            call = call._replace(q=turned[0], k=turned[1])
        turned = []
    lists = (turned, *(getattr(call, name) for name in LISTS))
    ctx.sizes = [len(each) for each in lists]
    ctx.plain = {name: value for name, value in call._asdict().items() if name not in (*TENSORS, *LISTS)}
    ctx.set_materialize_grads(False)
    tensors = [getattr(call, name) for name in TENSORS]
    ctx.save_for_backward(out, lse, *tensors, *(tensor for each in lists for tensor in each))


def _differentiate(ctx: Any, d_out: Tensor | None, *of_kept: Tensor | None) -> tuple[Any, ...]:
    """Compute the gradient of every argument; None for those that have none."""
    gradients: dict[str, Any] = dict.fromkeys(Call._fields)
    gradients |= {name: [None] * size for name, size in zip(LISTS, ctx.sizes[1:], strict=True)}
    if d_out is None:
        return *gradients.values(), None
    saved = iter(ctx.saved_tensors)
    out, lse = next(saved), next(saved)
    tensors = {name: next(saved) for name in TENSORS}
    turned, *lists = ([next(saved) for _ in range(size)] for size in ctx.sizes)
    arguments: dict[str, Any] = tensors | dict(zip(LISTS, lists, strict=True)) | ctx.plain
    call = Call(**arguments)
    d_q, d_k, d_v, *d_parameters = _attention_backward(d_out, out, lse, turned, *call)
    gradients |= {"q": d_q, "k": d_k, "v": d_v, "parameters": d_parameters}
    return *gradients.values(), None


def _nothing_kept(call: Call) -> list[Tensor]:
    """Make the four empty tensors that stand for what is not kept."""
    exact = exact_dtype(call.q)
    return [
        call.q.new_empty(0, *call.q.shape[1:]),
        call.k.new_empty(0, *call.k.shape[1:]),
        call.q.new_empty(0, 2, dtype=exact),
        call.q.new_empty(0, 2, dtype=exact),
    ]


_attention = register(
    "attention",
    _forward,
    _fake_forward,
    schema=f"({ARGUMENTS}, bool keeps) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    save=_save,
    differentiate=_differentiate,
)
_attention_backward = register(
    "attention_backward",
    _backward,
    _fake_backward,
    schema=f"(Tensor d_out, Tensor out, Tensor lse, Tensor[] turned, {ARGUMENTS}) -> Tensor[]",
)
