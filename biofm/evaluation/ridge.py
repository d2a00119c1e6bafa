"""Ridge regression from sequence to measurement: the supervised baselines.

Features are sparse counts (of a residue at a site, or of a k-mer), taken relative to what is usual among the
sequences. That changes nothing, because the intercept is not penalised and so only differences between rows
matter, and it leaves a few entries a row where variants of one protein differ in a few residues.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Codes = NDArray[np.int64]
"""A number for each unit of a sequence, see ``biofm.modalities.Modality``."""

ALPHA = 1.0
KMER_LENGTH = 3
N_FOLDS = 5
TOLERANCE = 1e-12  # of LSQR, relative
TIE_SHARE = 1e-8  # of the measurements' standard deviation: predictions closer than this are equal
ROWS_AT_ONCE = 4096
WIDEST = 1 << 20  # features; a dense row of them is held


def one_hot(codes: Codes, n_codes: int) -> NDArray[np.int64]:
    """A number for each unit at its site; ``codes`` are numbers of the units, below ``n_codes``."""
    return np.arange(len(codes)) * n_codes + codes


def kmers(codes: Codes, n_codes: int) -> NDArray[np.int64]:
    """A number for each run of three units, wherever it stands."""
    n_kmers = max(0, len(codes) - KMER_LENGTH + 1)
    found = np.zeros(n_kmers, np.int64)
    for offset in range(KMER_LENGTH):
        found = found * n_codes + codes[offset : offset + n_kmers]
    return found


def count_features(
    rows: Sequence[Codes], features_of: Callable[[Codes, int], Codes], n_codes: int
) -> "csr_matrix":
    """How much more often than usual each feature (``one_hot``, ``kmers``) occurs in each row; only features
    that ever differ.
    """
    from scipy import sparse  # a quarter of a second, which other commands should not pay

    width, known = 1 + max(int(features_of(row, n_codes).max(initial=0)) for row in rows), None
    if width > WIDEST:  # few of so many features occur, and these get numbers without gaps
        known = np.unique(np.concatenate([np.unique(features_of(row, n_codes)) for row in rows]))
        width = len(known)

    def of_row(row: Codes) -> Codes:
        found = features_of(row, n_codes)
        return found if known is None else np.searchsorted(known, found)

    blocks, usual = [], None
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        counts = _count([of_row(row) for row in rows[begin : begin + ROWS_AT_ONCE]], width)
        if usual is None:
            usual = sparse.csr_matrix(np.rint(counts.mean(axis=0)))
        blocks.append(counts - sparse.csr_matrix(np.ones((counts.shape[0], 1))) @ usual)
        blocks[-1].eliminate_zeros()
    features = sparse.vstack(blocks, format="csr")
    return features[:, np.unique(features.indices)]


def predict_out_of_fold(
    features: "csr_matrix",
    measured: Floats,
    fold: NDArray[np.int64],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Floats:
    """Predict by a ridge fitted to the other folds how far each row lies above their mean.

    The mean itself is left out: it is the higher, the lower a fold's own measurements are, and would rank the
    folds upside down.
    """
    predicted = np.full(len(measured), np.nan)
    n_folds = int(fold.max()) + 1
    for number in range(n_folds):
        is_in = fold == number
        predicted[is_in] = fit_and_predict(features[~is_in], measured[~is_in], features[is_in])
        progress(number + 1, n_folds)
    return predicted


def deal_folds(sequences: Sequence[str], seed: int, n_folds: int = N_FOLDS) -> NDArray[np.int64]:
    """A fold for each row, at random; equal sequences share theirs, so that none is predicted from itself."""
    distinct, which = np.unique(np.array(sequences, dtype=object), return_inverse=True)
    fold_of = np.random.default_rng(seed).permutation(len(distinct)) % n_folds
    folds: NDArray[np.int64] = fold_of[which]
    return folds


def fit_and_predict(
    train: "csr_matrix", measured: Floats, test: "csr_matrix", alpha: float = ALPHA
) -> Floats:
    """Fit a ridge (Hoerl and Kennard 1970) with a free intercept, and predict how far the rows of ``test``
    lie above the mean of ``measured``.

    By LSQR (Paige and Saunders 1982), which needs nothing but products with the sparse rows: a dense system,
    of the features or of the rows, has 4,000 unknowns for a usual library of single mutants and takes a
    hundred times as long.
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
    # Rows that the model cannot tell apart are to tie, not to be ranked by the noise of the arithmetic.
    unit = TIE_SHARE * target.std() or 1.0
    predicted: Floats = np.round(deviation / unit) * unit
    return predicted


def _count(codes: Sequence[Codes], width: int) -> "csr_matrix":
    """A row of counts for each array of codes."""
    from scipy import sparse

    ends = np.cumsum([0, *map(len, codes)])
    columns = np.concatenate(codes)
    counts = sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(codes), width))
    counts.sum_duplicates()
    return counts
