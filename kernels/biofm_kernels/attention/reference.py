"""The reference: computes packed attention as the equations read.

It is simple and slow. Every other backend is compared with it, and it runs where none of them does.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from biofm_kernels.packing import Packing
from biofm_kernels.precision import to_exact

Queries = Float[Tensor, "queries heads head_dim"]
Keys = Float[Tensor, "tokens heads head_dim"]  # and values
Sums = Float[Tensor, "heads queries"]  # The logarithms of the softmax's divisors; float32 at least.
Window = tuple[int, int]  # How many tokens before and behind itself a token sees; -1 is all.

EVERYTHING = (-1, -1)
CAUSAL = (-1, 0)


def forward(
    q: Queries,
    k: Keys,
    v: Keys,
    packing: Packing,
    scale: float,
    window: Window,
) -> tuple[Queries, Sums]:
    """Compute attention over packed sequences: softmax(q kᵀ scale) v within each (Vaswani et al. 2017, eq.
    1).

    Also return the logarithm of the sum that each softmax divides by: +inf for a query that sees no key,
    whose output is 0.
    """
    out, lse = q.new_zeros(q.shape), to_exact(q.new_empty(q.shape[1], q.shape[0]))
    for queries, keys in _sequences(packing):
        scores = _scores(q[queries], k[keys], scale, window)  # (heads, queries, keys)
        sums = scores.logsumexp(-1)
        lse[:, queries] = sums.masked_fill(sums == -torch.inf, torch.inf)
        weights = torch.exp(scores - lse[:, queries, None])
        out[queries] = _mixed(weights, v[keys]).to(out.dtype)
    return out, lse


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
    """Compute the gradients of q, k and v.

    With weights p, d_v = pᵀ d_out, and through the softmax d_scores = p (d_out vᵀ - rowsum(d_out out)), so
    that d_q = scale d_scores k and d_k = scale d_scoresᵀ q.
    """
    d_q, d_k, d_v = (x.new_zeros(x.shape) for x in (q, k, v))
    for queries, keys in _sequences(packing):
        d_o, o = to_exact(d_out[queries]), to_exact(out[queries])
        weights = torch.exp(_scores(q[queries], k[keys], scale, window) - lse[:, queries, None])
        delta = (d_o * o).sum(-1).T[..., None]  # (heads, queries, 1)
        d_scores = scale * weights * (torch.einsum("qhd,khd->hqk", d_o, to_exact(v[keys])) - delta)
        d_q[queries] = _mixed(d_scores, k[keys]).to(q.dtype)
        d_k[keys] = _mixed(d_scores.mT, q[queries]).to(k.dtype)
        d_v[keys] = _mixed(weights.mT, d_o).to(v.dtype)
    return d_q, d_k, d_v


def sees(n_queries: int, n_keys: int, window: Window, device: torch.device, ahead: int = 0) -> Tensor:
    """Return which keys each query sees, (queries, keys), where query i stands at key i + ``ahead``."""
    left, right = window
    at = torch.arange(n_queries, device=device)[:, None] + ahead
    key = torch.arange(n_keys, device=device)[None]
    seen = torch.ones(n_queries, n_keys, dtype=torch.bool, device=device)
    if left >= 0:
        seen &= key >= at - left
    if right >= 0:
        seen &= key <= at + right
    return seen


def _scores(q: Tensor, k: Tensor, scale: float, window: Window) -> Tensor:
    """Compute the scores of one sequence: -inf where a query does not see a key."""
    scores = torch.einsum("qhd,khd->hqk", to_exact(q), to_exact(k)) * scale
    return scores.masked_fill(~sees(len(q), len(k), window, q.device), -torch.inf)


def _mixed(weights: Tensor, rows: Tensor) -> Tensor:
    """Multiply weights with rows, head by head."""
    return torch.einsum("hab,bhd->ahd", weights, to_exact(rows))


def _sequences(packing: Packing) -> Iterator[tuple[slice, slice]]:
    """Yield the rows of the queries and of the keys of each sequence that has a query."""
    bounds = (pairwise(cu.tolist()) for cu in (packing.cu_queries, packing.cu_seqlens))
    for (first, last), (start, stop) in zip(*bounds, strict=True):
        if last > first:
            yield slice(first, last), slice(start, stop)
