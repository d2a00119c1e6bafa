"""Neighbours: for every row of a file of embeddings, find the rows that are most similar.

The rows are compared block by block; neither all rows nor all their products are ever in memory. The products
are exact: unit vectors are rounded to multiples of 2**-26, so that a product of two entries is a multiple of
2**-52, and a sum of them, below 2, fits into the 53 bits of a float64. Equal rows therefore have equal
cosines wherever they lie, and in whatever order a processor's matrix product sums. Ties go by the order of
the file on every machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from biofm_datasets.arrays import Floats
from biofm_datasets.progress import no_progress
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.core.errors import InputError
from biofm.core.h5ad import Embeddings
from biofm.models.families import DEFAULT_MODALITY, modalities

BLOCK_ROWS = 1024
BLOCK_BYTES = 16 << 20
STRIP_ROWS = 128
NO_DIRECTION = "{items} equal to the mean of all {items}, so that their cosine to any other is 0"

STEPS = 1 << 26
"""The number of steps from 0 to 1 to which the entries of unit vectors are rounded."""

Rows = NDArray[np.int32]
Units = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoundNeighbours:
    """Holds the most similar other rows of every row, the most similar first.

    Of rows that are equally similar, the one that stands first in the file comes first.

    Attributes:
        ids: The id of each row.
        nearest: The numbers (from 0) of the rows that are most similar to each row.
        cosine: The cosine of each row to those rows, around the mean of all rows, right to 1e-6 up to 4,000
            dimensions.
        item: What one row stands for, such as "protein".
        items: The same word in the plural.
        notices: What a reader of the result should know, as a phrase and how often it happened.
    """

    ids: list[str]
    nearest: Rows
    cosine: Floats
    item: str
    items: str
    notices: dict[str, int]

    def of(self, row: int) -> list[tuple[str, float]]:
        """Return the ids of the rows that are most similar to one row, with their cosines.

        Args:
            row: The number of the row, from 0.
        """
        found = zip(self.nearest[row].tolist(), self.cosine[row].tolist(), strict=True)
        return [(self.ids[other], cosine) for other, cosine in found]


class Directions:
    """Reads rows when they are needed, subtracts the mean of all rows, and scales each to length 1.

    Mean-pooled embeddings share a large common part, so that their plain cosines all lie near 1. Without the
    mean, the differences show. A row that differs from the mean by no more than float32 rounds has no
    direction.

    Raises:
        InputError: There are fewer than three rows, whose comparison around their mean says nothing, or a
            value is not a number.
    """

    def __init__(self, read: Embeddings) -> None:
        self.n_rows = len(read.ids)
        if self.n_rows < 3:
            what = f"{format_count(self.n_rows, 'row')}; a comparison around the mean of all rows needs three"
            raise InputError(what, where=read.where, remedy="Give embeddings of at least three sequences")
        self._read = read
        self.n_block = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (8 * max(1, read.n_dimensions))))
        total = np.zeros(read.n_dimensions)
        for start, stop in self.blocks():
            total += read.rows(start, stop).sum(0, dtype=np.float64)
        self._mean = total / self.n_rows

    def blocks(self, first: int = 0) -> Iterator[tuple[int, int]]:
        """Yield the bounds of the blocks from row ``first`` on."""
        for start in range(first, self.n_rows, self.n_block):
            yield start, min(start + self.n_block, self.n_rows)

    def rows(self, start: int, stop: int) -> Units:
        """Return the unit vectors of some rows; a row without a direction is all zeros."""
        rows = self._read.rows(start, stop).astype(np.float64)
        sizes = np.maximum(np.linalg.norm(rows, axis=1), np.linalg.norm(self._mean))
        rows -= self._mean
        norms = np.linalg.norm(rows, axis=1)
        norms[norms <= np.finfo(np.float32).eps * sizes] = np.inf
        unit: Units = np.rint(rows * (STEPS / norms[:, None])) / STEPS
        return unit


def find_neighbours(
    read: Embeddings,
    top: int = 1,
    progress: Callable[[float], None] = no_progress,
) -> FoundNeighbours:
    """Find the most similar other rows of every row.

    Args:
        read: The opened file of embeddings.
        top: How many neighbours of each row to find. A file with fewer other rows gives all of them, under a
            notice.
        progress: Called with the share of the work that is done, from 0 to 1.

    Raises:
        InputError: There are fewer than three rows, or a value is not a number.
    """
    directions = Directions(read)
    n_rows, n_nearest = directions.n_rows, min(top, directions.n_rows - 1)
    cosine = np.full((n_rows, n_nearest), -np.inf, np.float32)
    nearest = np.zeros((n_rows, n_nearest), np.int32)
    n_without_direction = n_done = 0
    n_blocks = -(-n_rows // directions.n_block)
    for start, stop in directions.blocks():
        block = directions.rows(start, stop)
        n_without_direction += int((~block.any(1)).sum())
        for first, last in directions.blocks(start):
            others = block if first == start else directions.rows(first, last)
            products = _cosines(block, others)
            if first == start:
                np.fill_diagonal(products, -np.inf)
            else:  # the rows of the later block are compared with this block before their own
                _keep_best(cosine[first:last], nearest[first:last], products.T, start)
            _keep_best(cosine[start:stop], nearest[start:stop], products, first)
            n_done += 1
            progress(2 * n_done / (n_blocks * (n_blocks + 1)))
    item, items = _items_of(read)
    notices = {NO_DIRECTION.format(items=items): n_without_direction} if n_without_direction else {}
    if n_nearest < top:
        nearest_of_each = format_count(n_nearest, "neighbour")
        notices[f"The file holds {n_rows:,} {items}: {nearest_of_each} of each, not {top:,}."] = 1
    return FoundNeighbours(read.ids, nearest, cosine, item, items, notices)


def _items_of(read: Embeddings) -> tuple[str, str]:
    """Return what one row stands for, in the singular and in the plural.

    Earlier versions of biofm embedded proteins and did not write down the modality.
    """
    modality = modalities().get(read.modality or DEFAULT_MODALITY)
    return (modality.words.item, modality.words.items) if modality else ("row", "rows")


def similarity_of(read: Embeddings, chosen: NDArray[np.intp]) -> Floats:
    """Compute the cosines of some rows to each other, around the mean of all rows.

    Args:
        read: The opened file of embeddings.
        chosen: The numbers of the rows to compare, from 0.
    """
    directions = Directions(read)
    units = np.concatenate([directions.rows(row, row + 1) for row in chosen.tolist()])
    return _cosines(units, units)


def _cosines(units: Units, others: Units) -> Floats:
    """Compute the exact products of two sets of unit vectors, rounded to float32 and kept within -1 and 1.

    A rounded vector may be a little longer than 1.
    """
    found = np.empty((len(units), len(others)), np.float32)
    for start in range(0, len(units), STRIP_ROWS):  # only one strip at a time is in memory as float64
        found[start : start + STRIP_ROWS] = units[start : start + STRIP_ROWS] @ others.T
    return np.clip(found, -1, 1, out=found)


def _keep_best(cosine: Floats, nearest: Rows, products: Floats, first: int) -> None:
    """Merge new products into the best so far, in place.

    ``products`` compares the rows with other rows, which are numbered from ``first``. These come in the order
    of the file, so an equal product comes too late to replace an earlier one.
    """
    rows, others, values = _better(products, cosine[:, -1], cosine.shape[1])
    if not len(rows):
        return
    touched, places = np.unique(rows, return_inverse=True)
    n_best = cosine.shape[1]
    owners = np.concatenate([np.repeat(np.arange(len(touched)), n_best), places])
    values = np.concatenate([cosine[touched].ravel(), values])
    numbers = np.concatenate([nearest[touched].ravel(), others + first])
    order = np.lexsort((-values, owners))  # stable, so that earlier rows stand before equal new ones
    starts = np.searchsorted(owners[order], np.arange(len(touched)))
    best = order[starts[:, None] + np.arange(n_best)]
    cosine[touched], nearest[touched] = values[best], numbers[best]


def _better(
    products: Floats, floors: Floats, n_best: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Find the products that are above their row's floor.

    Return their rows, their columns (in ascending order within a row) and their values.
    """
    above = products > floors[:, None]
    if products.shape[1] > n_best and np.count_nonzero(above) > 8 * n_best * len(floors):
        above &= products >= np.partition(products, -n_best, axis=1)[:, -n_best, None]
    # To search in the order of the memory is faster, and ``products`` may be a transposed matrix.
    lying = above if above.flags.c_contiguous else above.T
    found = np.divmod(np.flatnonzero(lying), lying.shape[1])
    rows, others = found if lying is above else found[::-1]
    return rows, others, products[rows, others]
