"""Which embedded proteins are alike."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biofm.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Cosine similarity of every pair of rows, the mean of all rows removed; shape (rows, rows)."""

    ids: list[str]
    similarity: NDArray[np.float32]

    def nearest(self, row: int, n: int) -> list[tuple[str, float]]:
        """The ``n`` most similar other rows, most similar first."""
        order = np.argsort(-self.similarity[row], kind="stable")
        return [(self.ids[i], float(self.similarity[row, i])) for i in order if i != row][:n]


def find_neighbours(ids: list[str], values: NDArray[np.float32], where: str) -> Neighbours:
    """Compare all rows.

    Raises InputError for fewer than three, whose comparison around their mean says nothing, and for values
    that are no numbers.

    Mean-pooled embeddings share a large common part, so their plain cosines all lie near 1; without the mean,
    what differs shows.
    """
    if len(ids) < 3:
        raise InputError(
            f"{len(ids)} rows cannot be compared around their mean", where=where, remedy="Give at least three"
        )
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(1))[0])
        remedy = "Embed again with another --dtype: float16 may overflow"
        raise InputError(f"row {row + 1} ({ids[row]}) holds inf or nan", where=where, remedy=remedy)
    centred = values - values.mean(0)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit = centred / np.maximum(norms, np.finfo(np.float32).tiny)
    return Neighbours(ids, unit @ unit.T)
