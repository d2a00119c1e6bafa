"""The workloads: they are packed batches, with the work they take and their exact results in float64."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from statistics import NormalDist
from typing import Literal

import numpy as np
import torch
from biofm_kernels import QKNorm, Rotary, Tiles, tile
from biofm_kernels.attention.reference import EVERYTHING, Window, sees
from torch import Tensor
from torch.nn import functional as F

Pass = Literal["forward", "forward+backward"]
Turning = Literal["plain", "rotary", "norm"]  # For q and k: nothing, rotary, LayerNorm and rotary.

PASSES: tuple[Pass, ...] = ("forward", "forward+backward")
LONGEST_PROTEIN = 1022  # residues, as ESM-2 was trained
MEAN_PROTEIN = 320
QUERIES_AT_ONCE = 512  # in float64, so that a long sequence fits in memory


def protein_lengths(n_tokens: int) -> tuple[int, ...]:
    """Return lengths of about so many tokens: quantiles of a log-normal distribution like UniRef90's.

    A seed decides their order. If lengths were drawn, chance would decide the longest, on which padding
    depends.
    """
    n = max(2, round(n_tokens / MEAN_PROTEIN))
    quantiles = [NormalDist(5.56, 0.72).inv_cdf((number + 0.5) / n) for number in range(n)]
    lengths = np.clip(np.exp(quantiles), 20, LONGEST_PROTEIN).astype(int)
    return tuple(np.random.default_rng(0).permutation(lengths).tolist())


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Describes one attention call: the lengths of its sequences, the shape of its heads, and what a token
    sees.
    """

    name: str
    lengths: tuple[int, ...]
    n_heads: int
    head_dim: int
    window: Window = EVERYTHING
    dtype: torch.dtype = torch.bfloat16

    @property
    def n_tokens(self) -> int:
        """The number of tokens that the sequences have together."""
        return sum(self.lengths)

    @property
    def equal_length(self) -> int | None:
        """The length that every sequence has; None if lengths differ."""
        return self.lengths[0] if len(set(self.lengths)) == 1 else None

    @cached_property
    def n_pairs(self) -> int:
        """The number of pairs of a query and a key that it sees."""
        return sum(_n_pairs(length, self.window) for length in self.lengths)

    def flops(self, which: Pass) -> float:
        """Count two matrix products forward, and 2.5 times that backward (Dao 2023, section 4.1)."""
        forward = 4.0 * self.n_pairs * self.n_heads * self.head_dim
        return forward if which == "forward" else 3.5 * forward

    def bytes(self, which: Pass) -> float:
        """Count the bytes that must move at least.

        These are q, k, v and the output, and backward again those, d_out and the three gradients.
        """
        n_tensors = 4 if which == "forward" else 12
        return float(n_tensors * self.n_tokens * self.n_heads * self.head_dim * self.dtype.itemsize)


def _n_pairs(length: int, window: Window) -> int:
    """Count the pairs in one sequence."""
    before, after = (length if side < 0 else side for side in window)
    place = np.arange(length)
    return int((np.minimum(place, before) + np.minimum(length - 1 - place, after) + 1).sum())


@dataclass(frozen=True)
class Batch:
    """Holds the tensors of a workload. As in a model, q, k and v are views of one projection."""

    workload: Workload
    q: Tensor
    k: Tensor
    v: Tensor
    d_out: Tensor
    cu_seqlens: Tensor
    tiles: Tiles
    rotary: Rotary
    norm: QKNorm

    @property
    def max_seqlen(self) -> int:
        """The length of the sequence that is longest."""
        return max(self.workload.lengths)

    @property
    def scale(self) -> float:
        """The number that multiplies the scores: it is 1 / sqrt(head_dim)."""
        return float(self.workload.head_dim**-0.5)

    def inputs(self, turning: Turning) -> list[Tensor]:
        """Return the tensors whose gradients are computed."""
        parameters = [self.norm.q_weight, self.norm.k_weight] if turning == "norm" else []
        return [self.q, self.k, self.v, *parameters]


def make_batch(workload: Workload, device: torch.device) -> Batch:
    """Make random tensors for a workload, the same ones at every call."""
    generator = torch.Generator(device).manual_seed(0)
    heads = (workload.n_heads, workload.head_dim)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device).to(workload.dtype)

    q, k, v = (x.detach().requires_grad_() for x in random(workload.n_tokens, 3, *heads).unbind(1))
    q_weight, k_weight = ((1 + 0.1 * random(heads[0] * heads[1])).requires_grad_() for _ in range(2))
    norm = QKNorm("layer", 1e-5, q_weight, k_weight, None, None)
    cu_seqlens = torch.tensor([0, *workload.lengths], device=device).cumsum(0).to(torch.int32)
    tiles = tile(cu_seqlens, workload.n_tokens, cu_seqlens, workload.n_tokens)
    rotary = _rotary(workload, device)
    return Batch(workload, q, k, v, random(workload.n_tokens, *heads), cu_seqlens, tiles, rotary, norm)


def _rotary(workload: Workload, device: torch.device) -> Rotary:
    """Make the rotation of a workload."""
    frequencies = 10000.0 ** -(torch.arange(0, workload.head_dim, 2, device=device) / workload.head_dim)
    angles = torch.arange(max(workload.lengths), device=device)[:, None] * frequencies
    positions = torch.cat([torch.arange(length, device=device) for length in workload.lengths])
    return Rotary(angles.cos(), angles.sin(), positions, positions)


def turned(
    q: Tensor, k: Tensor, weights: list[Tensor], cos: Tensor, sin: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """Normalise, if there are weights, and rotate q and k as people write it in plain torch.

    ``cos`` and ``sin``, a row for each token, are as exact as the rotation shall be.
    """
    if weights:
        q, k = (
            F.layer_norm(x.flatten(1), weight.shape, weight, eps=eps).view(x.shape)
            for x, weight in zip((q, k), weights, strict=True)
        )
    return _rotated(q, cos, sin), _rotated(k, cos, sin)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the halves of each head."""
    first, second = x.to(cos.dtype).chunk(2, -1)
    cos, sin = cos[:, None], sin[:, None]
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)


def exact_results(batch: Batch, turning: Turning, n_sequences: int) -> list[Tensor]:
    """Compute the output and the gradient of every input in float64, for the first sequences only."""
    batch = first_sequences(batch, n_sequences)
    q, k, v, *weights = inputs = [x.detach().double().requires_grad_() for x in batch.inputs(turning)]
    if turning != "plain":
        cos, sin = (x.double()[batch.rotary.q_positions] for x in (batch.rotary.cos, batch.rotary.sin))
        q, k = turned(q, k, weights, cos, sin, batch.norm.eps)
    out, *d_turned = _exact_attention(q.detach(), k.detach(), v.detach(), batch)
    return [out, *torch.autograd.grad((q, k, v), inputs, d_turned)]


def first_sequences(batch: Batch, n: int) -> Batch:
    """Cut a batch to its first sequences."""
    lengths = batch.workload.lengths[:n]
    rows = slice(0, sum(lengths))
    q, k, v = (x.detach()[rows].requires_grad_() for x in (batch.q, batch.k, batch.v))
    cu_seqlens, positions = batch.cu_seqlens[: n + 1].clone(), batch.rotary.q_positions[rows]
    return replace(
        batch,
        workload=replace(batch.workload, lengths=lengths),
        q=q, k=k, v=v,
        d_out=batch.d_out[rows],
        cu_seqlens=cu_seqlens,
        tiles=tile(cu_seqlens, len(q), cu_seqlens, len(q)),
        rotary=batch.rotary._replace(q_positions=positions, k_positions=positions),
    )  # fmt: skip


def _exact_attention(q: Tensor, k: Tensor, v: Tensor, batch: Batch) -> list[Tensor]:
    """Compute the output and the gradients of q, k and v, some queries at a time."""
    out, d_q, d_k, d_v = (torch.zeros_like(x) for x in (q, q, k, v))
    before, after = (batch.max_seqlen if side < 0 else side for side in batch.workload.window)
    for start, stop in pairwise(batch.cu_seqlens.tolist()):
        for first in range(start, stop, QUERIES_AT_ONCE):
            rows = slice(first, min(first + QUERIES_AT_ONCE, stop))
            keys = slice(max(start, first - before), min(stop, rows.stop + after))
            part = [x.detach().requires_grad_() for x in (q[rows], k[keys], v[keys])]
            scores = torch.einsum("qhd,khd->hqk", part[0], part[1]) * batch.scale
            seen = sees(len(part[0]), len(part[1]), batch.workload.window, q.device, first - keys.start)
            weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
            out[rows] = mixed = torch.einsum("hqk,khd->qhd", weights, part[2])
            gradients = torch.autograd.grad(mixed, part, batch.d_out[rows].double())
            d_q[rows] = gradients[0]
            d_k[keys] += gradients[1]
            d_v[keys] += gradients[2]
    return [out.detach(), d_q, d_k, d_v]


def relative_error(found: list[Tensor], exact: list[Tensor]) -> float:
    """Return the largest of the norms of the differences, each relative to the norm of the exact values."""
    pairs = zip(found, exact, strict=True)
    return max(float((one.detach().double() - other).norm() / other.norm()) for one, other in pairs)
