"""From records to a store, with progress and a count of what went through."""

from collections import Counter
from time import perf_counter
from typing import TypedDict

from biofm.core import Progress
from biofm.core.stores import Store
from biofm.inference.embed import Embedder
from biofm.inference.intake import Intake


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
    intake: Intake,
    store: Store,
    notices: Counter[str],
    progress: Progress,
) -> Tally:
    """Stream the records of ``intake`` through the model into ``store``; the store is left open."""
    began = perf_counter()
    counts: Counter[str] = Counter()

    def on_batch(n_tokens: int, n_residues: int) -> None:
        counts.update(tokens=n_tokens, residues=n_residues)
        progress.update(tokens=counts["tokens"], fraction=intake.share_of(counts["residues"]))

    for block in embedder.stream(intake, notices, on_batch):
        store.append(block)
        counts.update(sequences=len(block.ids), rows=len(block.values))
    seconds = perf_counter() - began
    return Tally(
        n_sequences=counts["sequences"],
        n_residues=counts["residues"],
        n_tokens=counts["tokens"],
        n_rows=counts["rows"],
        n_dimensions=embedder.config.d_model,
        seconds=seconds,
        tokens_per_second=counts["tokens"] / seconds,
    )
