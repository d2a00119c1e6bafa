"""What the baselines see of a sequence: its composition, its k-mers, its residues at their sites, or a window
around each residue.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from biofm_datasets.protein import MASK
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from biofm.evaluation.ridge import N_LETTERS, letters_of
from biofm.evaluation.supervised.labels import Indices

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

HALF_WINDOW = 7
N_SITES = 2 * HALF_WINDOW + 1

_OUTSIDE = N_LETTERS  # a letter of its own for what lies beyond the ends


def spelled(sequence: str) -> str:
    """A letter a residue: a mask is "#", which no alphabet has."""
    return sequence.replace(MASK, "#")


def composition(sequences: Sequence[str]) -> NDArray[np.float64]:
    """The share of each letter, and the logarithm of the length."""
    shares = np.zeros((len(sequences), N_LETTERS + 1))
    for row, sequence in enumerate(sequences):
        counts = np.bincount(letters_of(sequence), minlength=N_LETTERS)
        shares[row] = [*(counts / len(sequence)), np.log(len(sequence))]
    return shares


class Windows:
    """The residues around each residue of some sequences, one-hot: memory goes into the rows that are asked
    for, not into all.
    """

    def __init__(self, sequences: Sequence[str]) -> None:
        ends = np.full(HALF_WINDOW, _OUTSIDE)
        framed = [part for sequence in sequences for part in (ends, letters_of(sequence))]
        self._codes = np.concatenate([*framed, ends]).astype(np.int32)
        lengths = np.array([len(sequence) for sequence in sequences])
        # Residue i of sequence s stands behind s + 1 ends, and the first of its window HALF_WINDOW before it.
        self._first = np.arange(lengths.sum()) + np.repeat(np.arange(len(lengths)), lengths) * HALF_WINDOW

    def one_hot(self, residues: Indices) -> "csr_matrix":
        """A row for each of these residues, counted through all sequences."""
        from scipy import sparse  # a quarter of a second, which other commands should not pay

        seen = sliding_window_view(self._codes, N_SITES)[self._first[residues]]
        columns = seen + np.arange(N_SITES, dtype=np.int32) * (N_LETTERS + 1)
        ends = np.arange(len(residues) + 1, dtype=np.int32) * N_SITES
        ones = np.ones(columns.size, np.float32)
        return sparse.csr_matrix(
            (ones, columns.ravel(), ends), shape=(len(residues), N_SITES * (N_LETTERS + 1))
        )
