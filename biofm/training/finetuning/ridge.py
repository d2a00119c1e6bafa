"""Ridge regression on vectors, its penalty chosen by generalised cross-validation (Golub, Heath and Wahba
1979, https://doi.org/10.1080/00401706.1979.10489751).

All follows from the eigenvectors of the vectors' covariance, which is summed up block by block: memory grows
with their width, not with their number.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats, Indices
from numpy.typing import NDArray

Vectors = NDArray[np.floating]

ALPHAS = np.logspace(-2, 7, 46)
ROWS_AT_ONCE = 8192
LEAST_SPREAD = 1e-7  # of the largest: a dimension that varies less says nothing


class Ridge(NamedTuple):
    """weights x + bias for each target, and the penalty that was chosen."""

    weights: Floats
    bias: float
    alpha: float


class Scale(NamedTuple):
    """What standardises vectors: (x - mean) * factor; the factor of a dimension that does not vary is 0."""

    mean: Floats
    factor: Floats


def scale_of(vectors: Vectors, rows: Indices) -> Scale:
    """By these rows of ``vectors``."""
    total, squares = np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1])
    for block in blocks(vectors, rows):
        total += block.sum(0)
    mean = total / len(rows)
    for block in blocks(vectors, rows):
        squares += ((block - mean) ** 2).sum(0)
    spread = np.sqrt(squares / len(rows))
    is_varied = spread > LEAST_SPREAD * spread.max(initial=0)
    return Scale(mean, np.divide(1, spread, out=np.zeros_like(spread), where=is_varied))


def fit_ridge(vectors: Vectors, rows: Indices, truth: Floats) -> Ridge:
    """Fit the truth of these rows; the mean is not penalised."""
    scale = scale_of(vectors, rows)
    centre = truth.mean()
    covariance, shared = np.zeros((vectors.shape[1],) * 2), np.zeros(vectors.shape[1])
    done = 0
    for block in blocks(vectors, rows):
        x = (block - scale.mean) * scale.factor
        covariance += x.T @ x
        shared += x.T @ (truth[done : done + len(x)] - centre)
        done += len(x)
    values, axes = np.linalg.eigh(covariance)
    values = np.maximum(values, 0)
    rotated = axes.T @ shared
    total = float(((truth - centre) ** 2).sum())
    scores = [_gcv(values, rotated, total, len(rows), alpha) for alpha in ALPHAS]
    alpha = float(ALPHAS[int(np.argmin(scores))])
    weights = (axes @ (rotated / (values + alpha))) * scale.factor
    return Ridge(weights, float(centre - scale.mean @ weights), alpha)


def blocks(vectors: Vectors, rows: Indices) -> Iterator[Floats]:
    """These rows, some at a time, for arithmetic."""
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        yield np.asarray(vectors[rows[begin : begin + ROWS_AT_ONCE]], np.float64)


def _gcv(values: Floats, rotated: Floats, total: float, n: int, alpha: float) -> float:
    """n RSS / (n - degrees of freedom)², the mean's degree among them."""
    shrunk = values + alpha
    residual = total - float((rotated**2 * (values + 2 * alpha) / shrunk**2).sum())
    freedom = n - 1 - float((values / shrunk).sum())
    return n * max(residual, 0.0) / freedom**2 if freedom > 0 else np.inf
