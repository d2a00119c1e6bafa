"""The reference: computes the mean of each sequence's rows as the equation reads.

It computes in float32 or, given float64, in float64.
"""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from biofm_kernels.precision import to_exact


def forward(
    x: Float[Tensor, "rows d"],
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    weights: Shaped[Tensor, " rows"] | None,
) -> tuple[Float[Tensor, "sequences d"], Float[Tensor, " sequences"]]:
    """Compute the means, and the sum of each sequence's weights: its length if there are no weights."""
    exact = to_exact(x)
    n_sequences, owners = len(cu_seqlens) - 1, _owners(cu_seqlens, len(x))
    totals = cu_seqlens.diff().to(exact.dtype)
    if weights is not None:
        of_rows = weights.to(exact.dtype)
        exact = exact * of_rows[:, None]
        totals = exact.new_zeros(n_sequences).index_add_(0, owners, of_rows)
    sums = exact.new_zeros(n_sequences, x.shape[1]).index_add_(0, owners, exact)
    return (sums * _inverse(totals)[:, None]).to(x.dtype), totals


def backward(
    d_means: Float[Tensor, "sequences d"],
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    n_rows: int,
    weights: Shaped[Tensor, " rows"] | None,
    totals: Float[Tensor, " sequences"],
    x: Float[Tensor, "rows d"] | None,
    means: Float[Tensor, "sequences d"] | None,
) -> tuple[Float[Tensor, "rows d"], Float[Tensor, " rows"] | None]:
    """Compute the gradients of x and, if ``x`` and ``means`` are given, of the weights."""
    owners = _owners(cu_seqlens, n_rows)
    shares = (d_means.to(totals.dtype) * _inverse(totals)[:, None])[owners]
    d_x = shares if weights is None else shares * weights.to(shares.dtype)[:, None]
    if x is None or means is None:
        return d_x.to(d_means.dtype), None
    return d_x.to(d_means.dtype), (shares * (x.to(shares.dtype) - means[owners])).sum(1)


def _owners(cu_seqlens: Tensor, n_rows: int) -> Tensor:
    """Return the sequence of each row."""
    rows = torch.arange(n_rows, dtype=cu_seqlens.dtype, device=cu_seqlens.device)
    return torch.searchsorted(cu_seqlens, rows, right=True) - 1


def _inverse(totals: Tensor) -> Tensor:
    """Compute 1 / totals; 0 where no row counts."""
    return totals.reciprocal().masked_fill(totals == 0, 0)
