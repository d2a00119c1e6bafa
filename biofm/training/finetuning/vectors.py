"""Vectors of a table, kept on the disk: for a probe, every sequence goes through the model once.

A predictor keeps vectors of its training rows, so that it can measure the distances of other rows to them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from biofm_datasets import Record
from biofm_datasets.arrays import Floats, Indices
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray

from biofm.core.errors import OutputError
from biofm.core.progress import RunProgress
from biofm.evaluation.supervised import LabelledTable, units_of
from biofm.inference import Embedder
from biofm.inference.prediction import MOST_KEPT, Nearest, mean_of_residues
from biofm.modalities import Item
from biofm.training.finetuning.plan import MemberPlan

VECTORS_FILE = "vectors.npy"
ROWS_AT_ONCE, ROWS_OF_RESIDUES_AT_ONCE = 4096, 64
_FOR_DOMAIN = 2  # makes a stream of random numbers that is independent of the member's others


def embed_table(
    table: LabelledTable, embedder: Embedder, folder: Path, progress: RunProgress
) -> NDArray[np.float32]:
    """Embed all rows of a table, or all their residues, and return a memory map of the file in ``folder``.

    A file that an interrupted run has left there is complete, and is used again.

    Raises:
        OutputError: This file holds anything but such vectors.
    """
    path = folder / VECTORS_FILE
    if not path.exists():
        _write(table, embedder, path, progress)
    shape = (_n_vectors(table, embedder), embedder.config.d_model)
    try:
        vectors = np.lib.format.open_memmap(path, mode="r")  # unlike np.load, it reads no pickle
    except ValueError as error:
        raise _not_vectors(path) from error
    if vectors.shape != shape or vectors.dtype != np.float32:
        raise _not_vectors(path)
    return vectors


def records_of(table: LabelledTable, rows: NDArray[np.int64] | None = None) -> list[Record]:
    """Turn rows of a table into records for a model."""
    chosen = range(len(table)) if rows is None else rows.tolist()
    return [Record(table.ids[row], table.sequences[row], "", row + 1, table.name) for row in chosen]


def token_store(items: Iterable[Item]) -> TokenStore:
    """Put the tokens of all rows, and their values if they have any, into a store in memory."""
    rows = list(items)
    return TokenStore.of([it.tokens for it in rows], [it.values for it in rows if it.values is not None])


def reference_rows(table: LabelledTable, member: MemberPlan) -> Indices:
    """Choose one row for each training sequence of the member, and at most ``MOST_KEPT`` at random."""
    _, first = np.unique(np.array([table.sequences[row] for row in member.train], object), return_index=True)
    rows = member.train[np.sort(first)]
    if len(rows) <= MOST_KEPT:
        return rows
    return np.sort(np.random.default_rng((member.seed, _FOR_DOMAIN)).choice(rows, MOST_KEPT, replace=False))


def nearest_of(vectors: Floats, rows: Indices, offsets: Indices | None) -> Nearest:
    """Make an index that measures the distance of a vector to those of ``rows``.

    ``vectors`` holds the vectors of all rows of a table or, divided by ``offsets``, of all their residues.
    """
    return Nearest.of(np.concatenate(list(_vectors_of(vectors, rows, offsets))))


def distances_of(
    nearest: Nearest, vectors: Floats, rows: Indices, offsets: Indices | None
) -> NDArray[np.float64]:
    """Compute the distance of each of these rows; ``vectors`` and ``offsets`` are as in ``nearest_of``."""
    parts = [nearest.distances(part) for part in _vectors_of(vectors, rows, offsets)]
    return np.concatenate([np.empty(0), *parts])


def _n_vectors(table: LabelledTable, embedder: Embedder) -> int:
    if not embedder.is_per_residue:
        return len(table)
    assert table.labels.offsets is not None, "vectors of residues need labels of residues"
    return int(table.labels.offsets[-1])


def _not_vectors(path: Path) -> OutputError:
    what, remedy = "this file does not hold the vectors of this run", "Remove it: the run makes it again"
    return OutputError(what, where=str(path), remedy=remedy)


def _write(table: LabelledTable, embedder: Embedder, path: Path, progress: RunProgress) -> None:
    n_rows = _n_vectors(table, embedder)
    partial = path.with_name(f".{path.name}.partial")
    shape = (n_rows, embedder.config.d_model)
    vectors = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
    done = 0
    for chunk in embedder.chunks(embedder.tokenise(records_of(table), Counter())):
        found = embedder.embed_new(chunk, {})
        for item in chunk:
            rows = found[item.key]
            vectors[done : done + len(rows)] = rows
            done += len(rows)
        progress("embedding", done, n_rows)
    assert done == n_rows, (done, n_rows)
    vectors.flush()
    del vectors
    partial.replace(path)


def _vectors_of(vectors: Floats, rows: Indices, offsets: Indices | None) -> Iterator[NDArray[np.floating]]:
    """Yield one vector a row, for some rows at a time: the sequence's, or the mean over its residues."""
    n_at_once = ROWS_AT_ONCE if offsets is None else ROWS_OF_RESIDUES_AT_ONCE
    for begin in range(0, len(rows), n_at_once):
        part = rows[begin : begin + n_at_once]
        if offsets is None:
            yield np.asarray(vectors[part])
        else:
            yield mean_of_residues(np.asarray(vectors[units_of(part, offsets)]), np.diff(offsets)[part])
