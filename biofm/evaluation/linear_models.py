"""Linear models: two ridge regressions for numbers and a logistic regression for classes are fitted here,
with their folds.

``predict_by_sparse_ridge`` fits sparse counts, which are too many for a dense system, by an iterative solver
with a fixed penalty. ``fit_dense_ridge`` fits dense vectors exactly, reads them block by block, and chooses
its penalty by generalised cross-validation. Neither penalises the intercept.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Union

import numpy as np
from biofm_datasets.arrays import Floats, Indices
from biofm_datasets.progress import no_progress
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Features = Union[NDArray[np.floating], "csr_matrix"]
Vectors = NDArray[np.floating]

N_FOLDS = 5

ALPHA = 1.0  # penalty of a ridge on counts
TOLERANCE = 1e-12  # relative tolerance of LSQR
TIE_SHARE = 1e-8  # predictions closer than this share of the measurements' spread are equal

ALPHAS = np.logspace(-2, 7, 46)  # penalties that a ridge on vectors chooses from
VECTORS_AT_ONCE = 8192
LEAST_SPREAD = 1e-7  # a dimension with less than this share of the largest spread is left out

LOGISTIC_C = 1.0  # inverse penalty of a logistic regression
MOST_ITERATIONS = 300
NEVER = -1e4  # logit of a class without training rows, whose probability becomes 0


def deal_folds(sequences: Sequence[str], seed: int, n_folds: int = N_FOLDS) -> NDArray[np.int64]:
    """Assign each row to a random fold. Equal sequences share a fold, so that none is predicted from itself.

    Args:
        sequences: Sequence of each row.
        seed: Seed of the assignment.
        n_folds: Number of folds.
    """
    distinct, which = np.unique(np.array(sequences, dtype=object), return_inverse=True)
    fold_of = np.random.default_rng(seed).permutation(len(distinct)) % n_folds
    folds: NDArray[np.int64] = fold_of[which]
    return folds


def predict_out_of_fold(
    features: "csr_matrix",
    measured: Floats,
    fold: NDArray[np.int64],
    progress: Callable[[int, int], None] = no_progress,
) -> Floats:
    """Predict each row by a ridge that was fitted to the other folds, as ``predict_by_sparse_ridge`` does.

    The mean of the other folds is left out. It is high where the measurements of a fold are low, and would
    rank the folds in reverse.
    """
    predicted = np.full(len(measured), np.nan)
    n_folds = int(fold.max()) + 1
    for number in range(n_folds):
        is_in = fold == number
        predicted[is_in] = predict_by_sparse_ridge(features[~is_in], measured[~is_in], features[is_in])
        progress(number + 1, n_folds)
    return predicted


def predict_by_sparse_ridge(
    train: "csr_matrix", measured: Floats, test: "csr_matrix", alpha: float = ALPHA
) -> Floats:
    """Fit a ridge regression (Hoerl and Kennard 1970) to sparse counts, and predict how far the rows of
    ``test`` lie above the mean of ``measured``.

    The solver is LSQR (Paige and Saunders 1982), which only needs products with the sparse rows. A dense
    system of features or rows has 4,000 unknowns for a usual library of single mutants, and takes a hundred
    times as long.
    """
    from scipy.sparse.linalg import LinearOperator, lsqr

    mean = np.asarray(train.mean(axis=0)).ravel()
    centred = LinearOperator(
        train.shape,
        matvec=lambda weights: train @ weights - mean @ weights,
        rmatvec=lambda residuals: train.T @ residuals - mean * residuals.sum(),
        dtype=np.float64,
    )
    target = measured - measured.mean()
    weights = lsqr(centred, target, damp=np.sqrt(alpha), atol=TOLERANCE, btol=TOLERANCE)[0]
    deviation = test @ weights - mean @ weights
    # Rows that the model cannot distinguish should tie, and not be ranked by rounding errors.
    unit = TIE_SHARE * target.std() or 1.0
    predicted: Floats = np.round(deviation / unit) * unit
    return predicted


class Ridge(NamedTuple):
    """Holds the prediction weights x + bias, and the penalty that was chosen."""

    weights: Floats
    bias: float
    alpha: float


def fit_dense_ridge(vectors: Vectors, rows: Indices, truth: Floats) -> Ridge:
    """Fit a ridge regression to some rows of ``vectors``.

    The penalty is the one of ``ALPHAS`` with the best generalised cross-validation score (Golub, Heath and
    Wahba 1979, https://doi.org/10.1080/00401706.1979.10489751). All follows from the eigenvectors of the
    covariance of the vectors, which is summed up block by block: memory grows with their width, not with
    their number.

    Args:
        vectors: One vector for each row; may be a memory map.
        rows: Rows to fit to.
        truth: Number to learn for each of these rows.
    """
    scale = scale_of(vectors, rows)
    centre = truth.mean()
    covariance, shared = np.zeros((vectors.shape[1],) * 2), np.zeros(vectors.shape[1])
    done = 0
    for block in vector_blocks(vectors, rows):
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


class Scale(NamedTuple):
    """Holds the standardisation (x - mean) * factor.

    Attributes:
        mean: Mean of each dimension.
        factor: Factor of each dimension; 0 for one that does not vary.
    """

    mean: Floats
    factor: Floats


def scale_of(vectors: Vectors, rows: Indices) -> Scale:
    """Compute the mean and spread of some rows of ``vectors``, which are read block by block.

    Args:
        vectors: One vector for each row; may be a memory map.
        rows: Rows to use.
    """
    total, squares = np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1])
    for block in vector_blocks(vectors, rows):
        total += block.sum(0)
    mean = total / len(rows)
    for block in vector_blocks(vectors, rows):
        squares += ((block - mean) ** 2).sum(0)
    spread = np.sqrt(squares / len(rows))
    is_varied = spread > LEAST_SPREAD * spread.max(initial=0)
    return Scale(mean, np.divide(1, spread, out=np.zeros_like(spread), where=is_varied))


def vector_blocks(vectors: Vectors, rows: Indices) -> Iterator[Floats]:
    """Yield some rows in float64, block by block.

    Args:
        vectors: One vector for each row; may be a memory map.
        rows: Rows to yield.
    """
    for begin in range(0, len(rows), VECTORS_AT_ONCE):
        yield np.asarray(vectors[rows[begin : begin + VECTORS_AT_ONCE]], np.float64)


class Logistic(NamedTuple):
    """Holds a logistic regression: the probabilities are softmax(weights x + bias).

    Attributes:
        weights: Weight of each feature (columns) for each class (rows).
        bias: Bias of each class.
    """

    weights: Floats
    bias: Floats

    def probabilities(self, features: Features) -> Floats:
        """Compute the probability of each class for each row.

        Args:
            features: Features of each row.
        """
        logits = features @ self.weights.T + self.bias
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        p: Floats = grown / grown.sum(axis=1, keepdims=True)
        return p


def fit_logistic(
    features: Features, codes: NDArray[np.int64], n_classes: int, *, c: float = LOGISTIC_C
) -> Logistic:
    """Fit a multinomial logistic regression. A class without rows gets the probability 0; if all rows have
    one class, it gets 1.

    Args:
        features: Features of each row.
        codes: Number of the class of each row.
        n_classes: Number of classes.
        c: Inverse of the penalty.
    """
    weights, bias = np.zeros((n_classes, features.shape[1])), np.full(n_classes, NEVER)
    seen = np.unique(codes)
    bias[seen] = 0
    if len(seen) > 1:
        model = _fit(features, codes, c)
        # For two classes scikit-learn returns the logit of the second class against the first.
        places = seen[1:] if len(seen) == 2 else seen
        weights[places], bias[places] = model.coef_, model.intercept_
    return Logistic(weights, bias)


def _gcv(values: Floats, rotated: Floats, total: float, n: int, alpha: float) -> float:
    """Compute the score n RSS / (n - degrees of freedom)², which counts the degree of freedom of the mean."""
    shrunk = values + alpha
    residual = total - float((rotated**2 * (values + 2 * alpha) / shrunk**2).sum())
    freedom = n - 1 - float((values / shrunk).sum())
    return n * max(residual, 0.0) / freedom**2 if freedom > 0 else np.inf


def _fit(features: Features, codes: NDArray[np.int64], c: float) -> Any:
    """Fit scikit-learn's logistic regression. A fit that stops early is still a baseline."""
    from sklearn.exceptions import ConvergenceWarning  # takes 1 s to import
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():  # a fit that stops early is still a baseline
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=c, max_iter=MOST_ITERATIONS).fit(features, codes)
