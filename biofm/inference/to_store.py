"""From records to a store, with progress and a count of what went through."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from stat import S_ISREG
from time import monotonic
from typing import BinaryIO, TypedDict

from biofm_datasets import Record

from biofm.core import Progress
from biofm.core.stores import Store
from biofm.inference.embed import Embedder


class Tally(TypedDict):
    n_sequences: int
    n_residues: int
    n_tokens: int
    n_rows: int
    n_dimensions: int
    seconds: float
    tokens_per_second: float


def embed_to_store(
    embedder: Embedder,
    records: Iterable[Record],
    store: Store,
    notices: Counter[str],
    progress: Progress,
    share_read: Callable[[], float | None],
) -> Tally:
    """Stream ``records`` through the model into ``store``; the store is left open."""
    began = monotonic()
    counts: Counter[str] = Counter()
    before = 0.0  # the share of the input that was read when the present chunk began

    def on_batch(n_tokens: int, share_of_chunk: float) -> None:
        counts["tokens"] += n_tokens
        read = share_read()
        progress.update(
            tokens=counts["tokens"],
            fraction=None if read is None else before + (read - before) * share_of_chunk,
        )

    for block in embedder.stream(records, notices, on_batch):
        store.append(block)
        before = share_read() or 0.0
        counts.update(sequences=len(block.ids), residues=sum(block.n_residues), rows=len(block.values))
    seconds = monotonic() - began
    return Tally(
        n_sequences=counts["sequences"],
        n_residues=counts["residues"],
        n_tokens=counts["tokens"],
        n_rows=counts["rows"],
        n_dimensions=embedder.config.d_model,
        seconds=seconds,
        tokens_per_second=counts["tokens"] / seconds,
    )


def share_read(stream: BinaryIO) -> Callable[[], float | None]:
    """How much of an opened file has been read, from 0 to 1; unknown for a pipe."""
    status = os.fstat(stream.fileno())
    if not S_ISREG(status.st_mode) or not status.st_size:
        return lambda: None
    return lambda: min(1.0, stream.tell() / status.st_size)
