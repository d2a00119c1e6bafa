"""From records to a file of contacts, with progress and a count of what went through."""

from collections import Counter
from time import perf_counter
from typing import TypedDict

from biofm.core import Progress
from biofm.core.outputs.contact_maps import ContactWriter
from biofm.inference.contacts import ContactMapper
from biofm.inference.focus import Focus
from biofm.inference.intake import Intake


class ContactTally(TypedDict):
    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float


def contacts_to_store(
    predictor: ContactMapper,
    intake: Intake,
    store: ContactWriter,
    focus: Focus | None,
    notices: Counter[str],
    progress: Progress,
    *,
    on_error: str = "stop",
) -> ContactTally:
    """Stream the records of ``intake`` through the model into ``store``, which is left open."""
    began = perf_counter()
    counts: Counter[str] = Counter()

    def on_batch(n_tokens: int, n_residues: int) -> None:
        counts.update(tokens=n_tokens, residues=n_residues)
        progress.update(tokens=counts["tokens"], fraction=intake.share_of(counts["residues"]))

    for place, found in enumerate(predictor.stream(intake, notices, on_batch, on_error=on_error)):
        store.append(found.id, found.record, found.probabilities)
        counts["sequences"] += 1
        if focus is not None:
            focus.see(place, found)
    seconds = perf_counter() - began
    return ContactTally(
        n_sequences=counts["sequences"],
        n_residues=counts["residues"],
        n_tokens=counts["tokens"],
        seconds=seconds,
        tokens_per_second=counts["tokens"] / seconds,
    )
