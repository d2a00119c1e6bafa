"""The reference: computes cross-entropy behind a linear layer as the equations read.

It computes in float32 or, given float64, in float64. It takes some rows at a time, so that the memory for
logits does not grow with the number of rows.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from biofm_kernels.precision import exact_dtype

IGNORED = -100  # The target of a row that does not count, as in torch.
LOGITS_AT_ONCE = 2**22  # 16 MiB


def forward(
    hidden: Float[Tensor, "rows d"],
    weight: Float[Tensor, "vocabulary d"],
    bias: Float[Tensor, " vocabulary"] | None,
    targets: Int[Tensor, " rows"],
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """Compute the losses, and for each row the logarithm of the sum that its softmax divides by."""
    losses = hidden.new_empty(len(hidden), dtype=exact_dtype(hidden))
    lse = torch.empty_like(losses)
    for rows, logits in _blocks_of_logits(hidden, weight, bias):
        lse[rows] = logits.logsumexp(1)
        places, counted = _places(targets[rows])
        losses[rows] = (lse[rows] - logits.gather(1, places)[:, 0]).masked_fill(~counted, 0.0)
    return losses, lse


def backward(
    d_losses: Float[Tensor, " rows"],
    hidden: Float[Tensor, "rows d"],
    weight: Float[Tensor, "vocabulary d"],
    bias: Float[Tensor, " vocabulary"] | None,
    targets: Int[Tensor, " rows"],
    lse: Float[Tensor, " rows"],
) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "vocabulary d"], Float[Tensor, " vocabulary"] | None]:
    """Compute the gradients of hidden, weight and bias, from logits that are computed again."""
    d_hidden = torch.empty_like(hidden)
    exact_weight = weight.to(lse.dtype)
    d_weight, d_bias = torch.zeros_like(exact_weight), exact_weight.new_zeros(len(weight))
    for rows, logits in _blocks_of_logits(hidden, weight, bias):
        places, counted = _places(targets[rows])
        d_logits = logits.sub_(lse[rows, None]).exp_()
        d_logits.scatter_add_(1, places, -torch.ones_like(d_logits[:, :1]))
        d_logits.mul_((d_losses[rows] * counted)[:, None])
        d_hidden[rows] = (d_logits @ exact_weight).to(hidden.dtype)
        d_weight.addmm_(d_logits.T, hidden[rows].to(lse.dtype))
        d_bias += d_logits.sum(0)
    return d_hidden, d_weight.to(weight.dtype), None if bias is None else d_bias.to(bias.dtype)


def _blocks_of_logits(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Iterator[tuple[slice, Tensor]]:
    """Yield some rows at a time, and their logits (rows, vocabulary)."""
    weight = weight.to(exact_dtype(hidden))
    bias = None if bias is None else bias.to(weight.dtype)
    n_at_once = max(LOGITS_AT_ONCE // len(weight), 1)
    for start in range(0, len(hidden), n_at_once):
        rows = slice(start, start + n_at_once)
        yield rows, torch.nn.functional.linear(hidden[rows].to(weight.dtype), weight, bias)


def _places(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the column of each row's target, and which rows count. A row that does not count has any
    column.
    """
    ignored = targets == IGNORED
    return targets.long().masked_fill(ignored, 0)[:, None], ~ignored
