"""The truth of a supervised task, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from biofm_datasets.arrays import Indices
from numpy.typing import NDArray

from biofm.core.choices import Task

UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What is known of each row.

    ``values``: of a regression and of several labels float64, shape (rows, targets), NaN where nothing is
    known; of a classification the number of the class, shape (rows,); per residue that of the letter, shape
    (residues,), ``UNKNOWN`` where there is none, and then row i has those from ``offsets[i]`` up to
    ``offsets[i + 1]``.

    ``classes``: of a classification or, one letter each, of residues.
    """

    task: Task
    targets: tuple[str, ...]
    classes: tuple[str, ...]
    values: NDArray[np.float64] | Indices
    offsets: Indices | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    @property
    def n_outputs(self) -> int:
        """How many numbers a model gives for a row, or for a residue."""
        return len(self.classes) or len(self.targets)

    @property
    def n_units(self) -> int:
        """How many rows, or residues, are judged."""
        return len(self.values)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The values of a regression or of several labels, shape (rows, targets)."""
        assert not self.classes, f"{self.task} has classes"
        return self.values.astype(np.float64, copy=False)

    @property
    def codes(self) -> Indices:
        """The number of the class of each row, or of each residue."""
        assert self.classes, f"{self.task} has no classes"
        return self.values.astype(np.int64, copy=False)

    def take(self, rows: Indices) -> "Labels":
        """These rows alone, in this order."""
        if self.offsets is None:
            return replace(self, values=self.values[rows])
        return replace(
            self, values=self.values[units_of(rows, self.offsets)], offsets=offsets_of(self.lengths[rows])
        )

    @property
    def lengths(self) -> Indices:
        """How many residues each row has."""
        assert self.offsets is not None, "only labels of residues have lengths"
        return np.diff(self.offsets)


def offsets_of(lengths: Sequence[int] | Indices) -> Indices:
    """Where each row begins and where the last one ends, given the length of each row."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def units_of(rows: Indices, offsets: Indices) -> Indices:
    """The places of the residues of these rows, row after row."""
    lengths = np.diff(offsets)[rows]
    begins = np.cumsum(lengths) - lengths
    return np.repeat(offsets[rows] - begins, lengths) + np.arange(lengths.sum())
