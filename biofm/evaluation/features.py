"""Features of sequences: baselines, which are ridge or logistic regressions, learn from these numbers.

A modality turns a sequence into codes, one number for each unit (an amino acid, a base). From the codes
follow the composition, counts of units at their sites (one-hot), counts of runs of three units (k-mers), and
a window of units around each unit.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from biofm_datasets.arrays import Indices
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Codes = NDArray[np.int64]
"""Holds a number for each unit of a sequence, see ``biofm.modalities.Modality``."""

KMER_LENGTH = 3
HALF_WINDOW = 7
N_SITES = 2 * HALF_WINDOW + 1
ROWS_AT_ONCE = 4096
WIDEST = 1 << 20  # most features of a dense row in memory


def one_hot(codes: Codes, n_codes: int) -> NDArray[np.int64]:
    """Return a number for each unit at its site. ``codes`` are numbers of the units, below ``n_codes``."""
    return np.arange(len(codes)) * n_codes + codes


def kmers(codes: Codes, n_codes: int) -> NDArray[np.int64]:
    """Return a number for each run of three units, wherever it is."""
    n_kmers = max(0, len(codes) - KMER_LENGTH + 1)
    found = np.zeros(n_kmers, np.int64)
    for offset in range(KMER_LENGTH):
        found = found * n_codes + codes[offset : offset + n_kmers]
    return found


def count_features(
    rows: Sequence[Codes], features_of: Callable[[Codes, int], Codes], n_codes: int
) -> "csr_matrix":
    """Count the features that ``one_hot`` or ``kmers`` finds in each row, relative to the usual count.
    Features that never differ between rows are left out.

    Relative counts change no regression: the intercept is not penalised, so only differences between rows
    matter. They leave few entries in each row if variants of one protein differ in few residues.
    """
    from scipy import sparse  # takes 0.25 s to import

    width, known = 1 + max(int(features_of(row, n_codes).max(initial=0)) for row in rows), None
    if width > WIDEST:  # renumber the few features that occur without gaps
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


def composition(rows: Sequence[Codes], n_codes: int) -> NDArray[np.float64]:
    """Compute the share of each unit in each row. The last column is the logarithm of the row's length."""
    shares = np.zeros((len(rows), n_codes + 1))
    for row, codes in enumerate(rows):
        counts = np.bincount(codes, minlength=n_codes)
        shares[row] = [*(counts / len(codes)), np.log(len(codes))]
    return shares


class Windows:
    """Holds the units around each unit of some sequences, one-hot. Only the windows that are asked for take
    memory.
    """

    def __init__(self, rows: Sequence[Codes], n_codes: int) -> None:
        self._n_kinds = n_codes + 1  # one more for places beyond the ends
        ends = np.full(HALF_WINDOW, n_codes)
        framed = [part for codes in rows for part in (ends, codes)]
        self._codes = np.concatenate([*framed, ends]).astype(np.int32)
        lengths = np.array([len(codes) for codes in rows])
        # Unit i of sequence s has s + 1 ends before it, and its window begins HALF_WINDOW places earlier.
        self._first = np.arange(lengths.sum()) + np.repeat(np.arange(len(lengths)), lengths) * HALF_WINDOW

    def one_hot(self, units: Indices) -> "csr_matrix":
        """Return a row for each of these units, which are numbered through all sequences."""
        from scipy import sparse  # takes 0.25 s to import

        seen = sliding_window_view(self._codes, N_SITES)[self._first[units]]
        columns = seen + np.arange(N_SITES, dtype=np.int32) * self._n_kinds
        ends = np.arange(len(units) + 1, dtype=np.int32) * N_SITES
        ones = np.ones(columns.size, np.float32)
        return sparse.csr_matrix((ones, columns.ravel(), ends), shape=(len(units), N_SITES * self._n_kinds))


def _count(codes: Sequence[Codes], width: int) -> "csr_matrix":
    """Return a row of counts for each array of codes."""
    from scipy import sparse

    ends = np.cumsum([0, *map(len, codes)])
    columns = np.concatenate(codes)
    counts = sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(codes), width))
    counts.sum_duplicates()
    return counts
