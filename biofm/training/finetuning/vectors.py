"""The vectors of a probe: every sequence goes through the model once, and what comes out lies on disk."""

from collections import Counter
from pathlib import Path

import numpy as np
from biofm_datasets import Record
from numpy.typing import NDArray

from biofm.evaluation.supervised import LabelledTable
from biofm.inference import Embedder
from biofm.training.progress import Progress

FILE = "vectors.npy"


def embed_table(
    table: LabelledTable, embedder: Embedder, folder: Path, progress: Progress
) -> NDArray[np.float32]:
    """The vectors of all rows of a table, or of all their residues, as a memory map of a file in ``folder``.

    A file that an interrupted run has left there is whole, and is taken as it is.
    """
    path = folder / FILE
    if not path.exists():
        _write(table, embedder, path, progress)
    vectors: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return vectors


def records_of(table: LabelledTable, rows: NDArray[np.int64] | None = None) -> list[Record]:
    """Rows of a table as records for a model."""
    chosen = range(len(table)) if rows is None else rows.tolist()
    return [Record(table.ids[row], table.sequences[row], "", row + 1, table.name) for row in chosen]


def _write(table: LabelledTable, embedder: Embedder, path: Path, progress: Progress) -> None:
    n_rows = len(table)
    if embedder.is_per_residue:
        assert table.labels.offsets is not None, "vectors a residue are for labels a residue"
        n_rows = int(table.labels.offsets[-1])
    partial = path.with_name(f".{path.name}.partial")
    shape = (n_rows, embedder.config.d_model)
    vectors = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float32, shape=shape)
    done = 0
    for chunk in embedder.chunks(embedder.tokenise(records_of(table), Counter())):
        found = embedder.embed_new(chunk, {})
        for protein in chunk:
            rows = found[protein.key]
            vectors[done : done + len(rows)] = rows
            done += len(rows)
        progress("embedding", done, n_rows)
    assert done == n_rows, (done, n_rows)
    vectors.flush()
    del vectors
    partial.replace(path)
