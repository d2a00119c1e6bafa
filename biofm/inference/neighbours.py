"""Which embedded proteins are alike: the nearest of every row, found block by block.

Neither the rows nor their products are ever in memory as a whole. The products are exact: unit vectors are
rounded to multiples of 2**-24, so that a product of two entries is a multiple of 2**-48, and a sum of them, at
most 1, fits into the 53 bits of a float64. So equal rows have equal cosines wherever they lie and whatever
order a processor's matrix product sums in, and ties go by the order of the file on every machine.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.core.errors import InputError, OptionError
from biofm.core.h5ad import Embeddings
from biofm.models.families import DEFAULT_MODALITY, modalities

MOST_NEAREST = 100
"""Of one row: as many as graphs of neighbours have. All of them are kept until they are printed."""
BLOCK_ROWS = 1024
BLOCK_BYTES = 16 << 20
STRIP_ROWS = 128
NO_DIRECTION = "{items} equal to the mean of all, whose cosine to any other is 0"

STEPS = 1 << 24
"""In how many steps a unit vector's entries are told apart."""

Rows = NDArray[np.int32]
Units = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoundNeighbours:
    """The most similar other rows of each, most similar first; of equal ones the first in the file.

    ``nearest`` (rows, n) are their numbers from 0; ``cosine`` (rows, n) is that around the mean of all rows,
    right to 1e-6. ``item`` and ``items`` are what one row and several are of.
    ``notices``: what is good to know, counted.
    """

    ids: list[str]
    nearest: Rows
    cosine: Floats
    item: str
    items: str
    notices: dict[str, int]

    def of(self, row: int) -> list[tuple[str, float]]:
        """The ids and the cosines of a row's nearest."""
        found = zip(self.nearest[row].tolist(), self.cosine[row].tolist(), strict=True)
        return [(self.ids[other], cosine) for other, cosine in found]


def check_top(top: int) -> None:
    """Raise OptionError where no so many neighbours are looked for."""
    if not 1 <= top <= MOST_NEAREST:
        remedy = f"Give 1 to {MOST_NEAREST}"
        raise OptionError(f"{top:,} neighbours of each are not looked for", where="--top", remedy=remedy)


class Directions:
    """Rows as unit vectors from the mean of all, read when they are needed.

    Mean-pooled embeddings share a large common part, so their plain cosines all lie near 1; without the mean,
    what differs shows. A row that differs from the mean by no more than float32 rounds has no direction.

    Raises InputError for fewer than three rows, whose comparison around their mean says nothing, and for
    values that are no numbers.
    """

    def __init__(self, read: Embeddings) -> None:
        self.n_rows = len(read.ids)
        if self.n_rows < 3:
            what = f"{self.n_rows} rows cannot be compared around their mean"
            raise InputError(what, where=read.where, remedy="Give at least three")
        self._read = read
        self.n_block = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (8 * max(1, read.n_dimensions))))
        total = np.zeros(read.n_dimensions)
        for start, stop in self.blocks():
            total += read.rows(start, stop).sum(0, dtype=np.float64)
        self._mean = total / self.n_rows

    def blocks(self, first: int = 0) -> Iterator[tuple[int, int]]:
        for start in range(first, self.n_rows, self.n_block):
            yield start, min(start + self.n_block, self.n_rows)

    def rows(self, start: int, stop: int) -> Units:
        """Return unit vectors (rows, dimensions); zeros where there is no direction."""
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
    progress: Callable[[float], None] = lambda fraction: None,
) -> FoundNeighbours:
    """The ``top`` nearest of every row. ``progress`` hears the share that is done.

    Raises as ``Directions`` does.
    """
    directions = Directions(read)
    n_rows, n_nearest = directions.n_rows, min(top, directions.n_rows - 1)
    cosine = np.full((n_rows, n_nearest), -np.inf, np.float32)
    nearest = np.zeros((n_rows, n_nearest), np.int32)
    n_still = n_done = 0
    n_blocks = -(-n_rows // directions.n_block)
    for start, stop in directions.blocks():
        block = directions.rows(start, stop)
        n_still += int((~block.any(1)).sum())
        for first, last in directions.blocks(start):
            others = block if first == start else directions.rows(first, last)
            products = _cosines(block, others)
            if first == start:
                np.fill_diagonal(products, -np.inf)
            else:  # those of the later block, which see this one before their own
                _keep_best(cosine[first:last], nearest[first:last], products.T, start)
            _keep_best(cosine[start:stop], nearest[start:stop], products, first)
            n_done += 1
            progress(2 * n_done / (n_blocks * (n_blocks + 1)))
    item, items = _items_of(read)
    notices = {NO_DIRECTION.format(items=items): n_still} if n_still else {}
    return FoundNeighbours(read.ids, nearest, cosine, item, items, notices)


def _items_of(read: Embeddings) -> tuple[str, str]:
    """What one row is of, and several: an earlier biofm embedded proteins and did not say so."""
    modality = modalities().get(read.modality or DEFAULT_MODALITY)
    return (modality.words.item, modality.words.items) if modality else ("row", "rows")


def similarity_of(read: Embeddings, chosen: NDArray[np.intp]) -> Floats:
    """The cosines of some rows to each other, around the mean of all."""
    directions = Directions(read)
    units = np.concatenate([directions.rows(row, row + 1) for row in chosen.tolist()])
    return _cosines(units, units)


def _cosines(units: Units, others: Units) -> Floats:
    """Return the exact products of two sets of unit vectors, rounded to float32."""
    found = np.empty((len(units), len(others)), np.float32)
    for start in range(0, len(units), STRIP_ROWS):  # so that float64 takes the memory of a strip alone
        found[start : start + STRIP_ROWS] = units[start : start + STRIP_ROWS] @ others.T
    return found


def _keep_best(cosine: Floats, nearest: Rows, products: Floats, first: int) -> None:
    """Take into the best so far, in place, what is better in ``products`` (rows, others); ``first`` is the
    number of the first other one. They come in the order of the file, so an equal one comes too late.
    """
    rows, others, values = _better(products, cosine[:, -1], cosine.shape[1])
    if not len(rows):
        return
    touched, places = np.unique(rows, return_inverse=True)
    n_best = cosine.shape[1]
    owners = np.concatenate([np.repeat(np.arange(len(touched)), n_best), places])
    values = np.concatenate([cosine[touched].ravel(), values])
    numbers = np.concatenate([nearest[touched].ravel(), others + first])
    order = np.lexsort((-values, owners))  # which is stable: those so far stand before the new ones
    starts = np.searchsorted(owners[order], np.arange(len(touched)))
    best = order[starts[:, None] + np.arange(n_best)]
    cosine[touched], nearest[touched] = values[best], numbers[best]


def _better(
    products: Floats, floors: Floats, n_best: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats]:
    """Where products are above their row's floor: rows, others in ascending order within a row, values."""
    above = products > floors[:, None]
    if products.shape[1] > n_best and np.count_nonzero(above) > 8 * n_best * len(floors):
        above &= products >= np.partition(products, -n_best, axis=1)[:, -n_best, None]
    # Places are looked for in the order in which they lie in memory, also of a transposed matrix.
    lying = above if above.flags.c_contiguous else above.T
    found = np.divmod(np.flatnonzero(lying), lying.shape[1])
    rows, others = found if lying is above else found[::-1]
    return rows, others, products[rows, others]
