"""What the baselines see of a sequence: its composition, its k-mers, its residues at their sites, or a window
around each residue.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from biofm_datasets.arrays import Indices
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from biofm.evaluation.ridge import Codes

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HALF_WINDOW = 7
N_SITES = 2 * HALF_WINDOW + 1


def composition(rows: Sequence[Codes], n_codes: int) -> NDArray[np.float64]:
    """The share of each unit, and the logarithm of the length. ``rows``: of each sequence the codes of its
    units, below ``n_codes``.
    """
    shares = np.zeros((len(rows), n_codes + 1))
    for row, codes in enumerate(rows):
        counts = np.bincount(codes, minlength=n_codes)
        shares[row] = [*(counts / len(codes)), np.log(len(codes))]
    return shares


class Windows:
    """The residues around each residue of some sequences, one-hot: memory goes into the rows that are asked
    for, not into all.
    """

    def __init__(self, rows: Sequence[Codes], n_codes: int) -> None:
        self._n_kinds = n_codes + 1  # and what lies beyond the ends
        ends = np.full(HALF_WINDOW, n_codes)
        framed = [part for codes in rows for part in (ends, codes)]
        self._codes = np.concatenate([*framed, ends]).astype(np.int32)
        lengths = np.array([len(codes) for codes in rows])
        # Residue i of sequence s stands behind s + 1 ends, and the first of its window HALF_WINDOW before it.
        self._first = np.arange(lengths.sum()) + np.repeat(np.arange(len(lengths)), lengths) * HALF_WINDOW

    def one_hot(self, residues: Indices) -> "csr_matrix":
        """A row for each of these residues, counted through all sequences."""
        from scipy import sparse  # a quarter of a second, which other commands should not pay

        seen = sliding_window_view(self._codes, N_SITES)[self._first[residues]]
        columns = seen + np.arange(N_SITES, dtype=np.int32) * self._n_kinds
        ends = np.arange(len(residues) + 1, dtype=np.int32) * N_SITES
        ones = np.ones(columns.size, np.float32)
        return sparse.csr_matrix(
            (ones, columns.ravel(), ends), shape=(len(residues), N_SITES * self._n_kinds)
        )
