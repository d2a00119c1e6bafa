"""The vectors of a probe: every sequence goes through the model once, and what comes out lies on disk."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from biofm_datasets import Record
from biofm_datasets.store import TokenStore
from numpy.typing import NDArray

from biofm.core.errors import OutputError
from biofm.core.progress import RunProgress
from biofm.evaluation.supervised import LabelledTable
from biofm.inference import Embedder
from biofm.modalities import Item

FILE = "vectors.npy"


def embed_table(
    table: LabelledTable, embedder: Embedder, folder: Path, progress: RunProgress
) -> NDArray[np.float32]:
    """The vectors of all rows of a table, or of all their residues, as a memory map of a file in ``folder``.

    A file that an interrupted run has left there is whole, and is taken as it is. Raises OutputError where it
    holds anything but such vectors.
    """
    path = folder / FILE
    if not path.exists():
        _write(table, embedder, path, progress)
    shape = (_n_vectors(table, embedder), embedder.config.d_model)
    try:
        vectors = np.lib.format.open_memmap(path, mode="r")  # which, other than np.load, knows no pickle
    except ValueError as error:
        raise _not_vectors(path) from error
    if vectors.shape != shape or vectors.dtype != np.float32:
        raise _not_vectors(path)
    return vectors


def records_of(table: LabelledTable, rows: NDArray[np.int64] | None = None) -> list[Record]:
    """Rows of a table as records for a model."""
    chosen = range(len(table)) if rows is None else rows.tolist()
    return [Record(table.ids[row], table.sequences[row], "", row + 1, table.name) for row in chosen]


def token_store(items: Iterable[Item]) -> TokenStore:
    """The tokens of rows, and their values where they have any, in memory."""
    rows = list(items)
    return TokenStore.of([it.tokens for it in rows], [it.values for it in rows if it.values is not None])


def _n_vectors(table: LabelledTable, embedder: Embedder) -> int:
    if not embedder.is_per_residue:
        return len(table)
    assert table.labels.offsets is not None, "vectors a residue are for labels a residue"
    return int(table.labels.offsets[-1])


def _not_vectors(path: Path) -> OutputError:
    what, remedy = "these are not the vectors of this run", "Remove the file: they are made again"
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
