"""From records to a table of predictions."""

from collections import Counter
from time import perf_counter
from typing import TypedDict

import numpy as np

from biofm.core import Progress
from biofm.core.tables import RENAMED, Table, kept_apart
from biofm.inference.empty_rows import EMPTY_ROWS, emptied, reasons
from biofm.inference.intake import Intake
from biofm.inference.prediction.columns import columns_of, domain_columns
from biofm.inference.prediction.domain import DomainTally
from biofm.inference.prediction.predictor import Ensemble
from biofm.modalities import columns_of as travelling_of

UNBOUNDED = "predictions without an interval: too few rows calibrated the predictor for this coverage"


class PredictionTally(TypedDict):
    n_sequences: int
    n_residues: int
    n_tokens: int
    seconds: float
    tokens_per_second: float


def predictions_to_table(
    intake: Intake,
    ensemble: Ensemble,
    coverage: float,
    table: Table,
    notices: Counter[str],
    progress: Progress,
    *,
    with_lists: bool,
) -> tuple[PredictionTally, DomainTally]:
    """Stream the records of ``intake`` through the members into ``table``, which is left open. Columns that
    travel with the records stand behind ``record``. A protein whose numbers are not finite has an empty row,
    and the last column, ``reason``, says so, where that is allowed.
    """
    began = perf_counter()
    counts: Counter[str] = Counter()
    n_branches = len(ensemble.branches)

    def on_batch(n_tokens: int, n_residues: int) -> None:
        counts.update(tokens=n_tokens, passed=n_residues)
        fraction = intake.share_of(counts["passed"] / n_branches)
        progress.update(tokens=counts["tokens"], fraction=fraction)

    domain, tally = ensemble.domain, DomainTally()
    units = ensemble.embedder.tokenizer.modality.units
    items = ensemble.embedder.tokenise(intake, notices)
    for part in ensemble.stream(items, on_batch):
        columns = columns_of(
            ensemble.info, part.found, part.lengths, ensemble.calibration, coverage, with_lists=with_lists
        )
        if "low" in columns:
            notices[UNBOUNDED] += columns["low"].null_count
        if domain is not None:
            found = domain.reasons([units(item.text) for item in part.items], part.distances)
            columns |= domain_columns(found, part.distances)
            tally.add([found[row] for row in np.flatnonzero(~part.are_empty)])
        columns = emptied(columns, part.are_empty)
        notices[EMPTY_ROWS] += int(part.are_empty.sum())
        why = reasons(part.are_empty, ensemble.embedder.dtype, ensemble.embedder.options.on_error)
        ids = [item.id for item in part.items]
        which = {"id": ids, "record": [item.record for item in part.items]}
        columns = {"n_residues": part.lengths, **columns, **why}
        travelling = travelling_of(part.items)
        apart = kept_apart(travelling, which | columns)
        notices[RENAMED] = sum(name not in apart for name in travelling)
        table.append({**which, **apart, **columns})
        counts.update(sequences=len(ids), residues=sum(part.lengths))
    table.close()
    seconds = perf_counter() - began
    summary = PredictionTally(
        n_sequences=counts["sequences"],
        n_residues=counts["residues"],
        n_tokens=counts["tokens"],
        seconds=seconds,
        tokens_per_second=counts["tokens"] / seconds,
    )
    return summary, tally
