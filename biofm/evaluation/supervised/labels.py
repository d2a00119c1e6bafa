"""Labels: the truth of a supervised task is held in arrays."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from biofm_datasets.arrays import Indices
from numpy.typing import NDArray

from biofm.core.choices import Task

UNKNOWN = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Holds what is known of each row.

    Attributes:
        task: The task that the labels belong to.
        targets: Names of the columns to predict.
        classes: Names of the classes, or the letters of residue labels; empty for other tasks.
        values: For a regression and for several labels a number for each row and target, NaN if it is not
            known. For a classification the number of each row's class. For residue labels the number of each
            residue's letter, over all rows, or ``UNKNOWN``.
        offsets: For residue labels the place of each row's first residue, and the end of the last row; None
            for other tasks. Row i has the residues from ``offsets[i]`` up to ``offsets[i + 1]``.
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
        """How many numbers a model returns for each row or residue: one for each class or target."""
        return len(self.classes) or len(self.targets)

    @property
    def n_units(self) -> int:
        """The number of rows or residues that are judged."""
        return len(self.values)

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The values that a regression or several labels have, shape (rows, targets)."""
        assert not self.classes, f"{self.task} has classes"
        return self.values.astype(np.float64, copy=False)

    @property
    def codes(self) -> Indices:
        """The number that stands for the class of each row or residue."""
        assert self.classes, f"{self.task} has no classes"
        return self.values.astype(np.int64, copy=False)

    def take(self, rows: Indices) -> "Labels":
        """Return the labels of some rows, in their order.

        Args:
            rows: Numbers of the rows.
        """
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
    """Return where each row begins, and where the last one ends.

    Args:
        lengths: Length of each row.
    """
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def units_of(rows: Indices, offsets: Indices) -> Indices:
    """Return the places of the residues of some rows, row after row.

    Args:
        rows: Numbers of the rows.
        offsets: Place of each row's first residue, and the end of the last row.
    """
    lengths = np.diff(offsets)[rows]
    begins = np.cumsum(lengths) - lengths
    return np.repeat(offsets[rows] - begins, lengths) + np.arange(lengths.sum())
