"""From rows to score to a table of scores, with progress and a count of what went through."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from biofm.core import Progress
from biofm.core.tables import Columns, Table
from biofm.inference.scoring.cases import Cases
from biofm.inference.scoring.scorer import Scorer

BY_LIKELIHOOD = "variants with insertions or deletions, scored by pseudo-perplexity"
IN_WINDOWS = "variants of proteins longer than a model's training, read in windows"
RENAMED = "input columns renamed input_..., because the scores take their names"


class ScoreTally(TypedDict):
    n_variants: int
    n_tokens: int
    seconds: float
    variants_per_second: float


class Pace:
    """Tells a progress bar how far a job in parts is: what of the input is read, and what of that is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._before: float | None = 0.0
        self._read: float | None = 0.0
        self.n_tokens = 0

    def begin_part(self, share_read: float | None) -> None:
        self._before, self._read = self._read, share_read

    def update(self, n_tokens: int, share_of_part: float) -> None:
        self.n_tokens += n_tokens
        fraction = None
        if self._before is not None and self._read is not None:
            fraction = self._before + share_of_part * (self._read - self._before)
        self._progress.update(tokens=self.n_tokens, fraction=fraction)


def score_to_table(
    cases: Iterable[Cases],
    scorer: Scorer,
    model_names: Sequence[str],
    table: Table,
    notices: Counter[str],
    pace: Pace,
    on_scores: Callable[[tuple[Cases, NDArray[np.float32]]], None] = lambda part: None,
) -> ScoreTally:
    """Score ``cases`` in order into ``table``; ``on_scores`` is given each part and its means of models."""
    began = perf_counter()
    n_variants = 0
    for some in cases:
        pace.begin_part(some.share_read)
        scores = scorer.score(some.variants, pace.update)
        added = _score_columns(some, scores, scorer, model_names, notices)
        table.append(_kept_apart(some.columns, added, notices) | added)
        on_scores((some, added["score"]))
        n_variants += len(some.variants)
    table.close()
    seconds = perf_counter() - began
    return ScoreTally(
        n_variants=n_variants,
        n_tokens=pace.n_tokens,
        seconds=seconds,
        variants_per_second=n_variants / seconds,
    )


def _score_columns(
    some: Cases,
    scores: NDArray[np.float32],
    scorer: Scorer,
    model_names: Sequence[str],
    notices: Counter[str],
) -> dict[str, Any]:
    methods = [variant.method(scorer.method) for variant in some.variants]
    windowed = [scorer.is_windowed(variant) for variant in some.variants]
    notices.update({BY_LIKELIHOOD: sum(method != scorer.method for method in methods)})
    notices.update({IN_WINDOWS: sum(windowed)})
    each = {f"score_{name}": scores[:, i] for i, name in enumerate(model_names)}
    mean = scores.mean(1, dtype=np.float64).astype(np.float32)
    return {"method": methods, "windowed": windowed, **each, "score": mean}


def _kept_apart(columns: Columns, added: Columns, notices: Counter[str]) -> dict[str, Any]:
    """The columns of the input, with another name where ours would hide them."""
    taken = {*columns, *added}
    apart: dict[str, Any] = {}
    for name, column in columns.items():
        other = name
        while other in added or (other != name and other in taken):
            other = f"input_{other}"
        apart[other] = column
    notices[RENAMED] = sum(name not in apart for name in columns)
    return apart
