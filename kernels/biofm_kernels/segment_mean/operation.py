"""The mean of each sequence's rows as an operation of torch: this module defines it for autograd, compile and
export.
"""

from typing import Any

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from biofm_kernels.backends import run
from biofm_kernels.precision import exact_dtype
from biofm_kernels.registration import register


def segment_mean(
    x: Float[Tensor, "rows d"],
    cu_seqlens: Int[Tensor, " sequences_plus_one"],
    weights: Shaped[Tensor, " rows"] | None = None,
) -> Float[Tensor, "sequences d"]:
    """Compute the mean of each sequence's rows. It is summed in float32 and returned in the dtype of x.

    The mean is 0 for a sequence that is empty or whose weights add up to 0.

    Args:
        x: The rows of all sequences.
        cu_seqlens: The bounds of the sequences: rows ``cu_seqlens[i]`` up to ``cu_seqlens[i + 1]`` are
            sequence i. Every row belongs to a sequence.
        weights: The weight of each row, or a mask of the rows that count; None to weigh all rows alike.
    """
    means: Tensor = _segment_mean(x, cu_seqlens, weights)[0]
    return means


def _forward(x: Tensor, cu_seqlens: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Compute the means and the sums of the weights."""
    means, totals = run("segment_mean", "forward", x, cu_seqlens, weights)
    return means, totals


def _fake_forward(x: Tensor, cu_seqlens: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Make empty results of ``_forward``'s shapes."""
    n_sequences = cu_seqlens.shape[0] - 1
    exact = exact_dtype(x)
    return x.new_empty(n_sequences, x.shape[1]), x.new_empty(n_sequences, dtype=exact)


def _backward(
    d_means: Tensor,
    cu_seqlens: Tensor,
    n_rows: int,
    weights: Tensor | None,
    totals: Tensor,
    x: Tensor | None,
    means: Tensor | None,
) -> list[Tensor]:
    """Compute the gradient of x and, if x and the means are given, the gradient of the weights."""
    gradients = run("segment_mean", "backward", d_means, cu_seqlens, n_rows, weights, totals, x, means)
    return [gradient for gradient in gradients if gradient is not None]


def _fake_backward(
    d_means: Tensor,
    cu_seqlens: Tensor,
    n_rows: int,
    weights: Tensor | None,
    totals: Tensor,
    x: Tensor | None,
    means: Tensor | None,
) -> list[Tensor]:
    """Make empty results of ``_backward``'s shapes."""
    d_x = d_means.new_empty(n_rows, d_means.shape[1])
    return [d_x] if x is None else [d_x, totals.new_empty(n_rows)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep what the backward pass reads. Only the gradient of the weights needs x itself."""
    x, cu_seqlens, weights = inputs
    means, totals = output
    of_weights = weights is not None and ctx.needs_input_grad[2]
    ctx.n_rows = x.shape[0]
    ctx.save_for_backward(cu_seqlens, weights, totals, *((x, means) if of_weights else (None, None)))


def _differentiate(ctx: Any, d_means: Tensor, of_totals: Tensor) -> tuple[Tensor, None, Tensor | None]:
    """Compute the gradient of every argument; None for those that have none."""
    cu_seqlens, weights, totals, x, means = ctx.saved_tensors
    d_x, *d_weights = _segment_mean_backward(d_means, cu_seqlens, ctx.n_rows, weights, totals, x, means)
    return d_x, None, d_weights[0].to(weights.dtype) if d_weights else None


_segment_mean = register("segment_mean", _forward, _fake_forward, save=_save, differentiate=_differentiate)
_segment_mean_backward = register("segment_mean_backward", _backward, _fake_backward)
