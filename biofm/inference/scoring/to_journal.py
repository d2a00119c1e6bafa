"""From rows to a journal of scores: each chunk is computed, committed and done, whatever happens after it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from biofm.core import Progress
from biofm.core.journal import Entry, Fields, Journal, key_of
from biofm.core.tables import Columns, kept_apart
from biofm.inference.empty_rows import EMPTY_ROWS
from biofm.inference.scoring.methods import Unscored, Variant
from biofm.inference.scoring.parts import pack_columns
from biofm.inference.scoring.rows import Chunk, Rows, chunks, of_shard
from biofm.inference.scoring.scorer import Scorer
from biofm.inference.shards import Shard

WHY = "biofm: why this row is empty"
"""The last column of the rows in a journal; a table has it where it was made with ``on_error`` "skip", or
where a row has no variant that can be scored."""


def n_without(journals: Sequence[Journal]) -> int:
    """How many rows of these have no score, or not of all models."""
    return sum(journal.counts["unscored"] + journal.counts["empty"] for journal in journals)


def count_empty(journals: Sequence[Journal], notices: Counter[str]) -> None:
    """Say of how many rows the models' numbers are not finite."""
    if n_empty := sum(journal.counts["empty"] for journal in journals):
        notices[EMPTY_ROWS] = n_empty


class Totals(NamedTuple):
    """Of a share of the rows: how many there are, how many have no score, how many were scored just now, and
    the tokens that went through the models for all of them.
    """

    n_variants: int
    n_unscored: int
    n_scored: int
    n_tokens: int


def totals_of(journal: Journal, n_before: int) -> Totals:
    """Those of a finished journal, which held ``n_before`` rows when this session began."""
    n_done = journal.n_done
    return Totals(n_done, n_without([journal]), n_done - n_before, journal.counts["tokens"])


def read_through(rows: Rows, shard: Shard) -> Totals:
    """Those of a share that an earlier session scored, by the rows alone, which are read to their end."""
    have_variants = Counter(isinstance(row.variant, Variant) for row in of_shard(rows, shard))
    return Totals(have_variants.total(), n_unscored=have_variants[False], n_scored=0, n_tokens=0)


RENAMED = "input columns renamed input_..., because the scores take their names"


def fingerprint(scorer: Scorer, provenance: Mapping[str, Any], names: Sequence[str], shard: Shard) -> Fields:
    """All that decides the bits of the scores, and their columns; the input left out."""
    how = {name: value for name, value in provenance.items() if name != "models"}
    predictors = [reader.runner for reader in scorer.readers]
    return how | {
        "verb": "score",
        "columns": ", ".join(names),
        "sha256": ", ".join(reader.sha256 for reader in scorer.readers),
        "tokens_per_batch": predictors[0].tokens_per_batch,
        "threads": torch.get_num_threads() if predictors[0].device.type == "cpu" else 0,
        "shard": str(shard),
    }


def score_to_journal(
    rows: Rows,
    scorer: Scorer,
    names: Sequence[str],
    journal: Journal,
    shard: Shard,
    where: str,
    notices: Counter[str],
    progress: Progress,
    *,
    on_error: str = "stop",
) -> int:
    """Score what ``journal``, which has begun, does not hold yet; returns how many tokens that took.

    ``names`` are those of the models' columns. Raises InputError: the rows that are done already are no
    longer what they were. ModelError or OptionError: a model's numbers for a row are not finite, and
    ``on_error`` is not "skip"; the chunks before are kept.
    """
    own = journal.remaining(of_shard(rows, shard), lambda row: row.identity, where)
    meter = _Meter(progress)
    for chunk in chunks(own, scorer):
        known = journal.known(chunk.needs)
        new = {key: need for key, need in chunk.needs.items() if key not in known}
        meter.begin(chunk, sum(map(scorer.n_tokens, new.values())))
        before = {key: journal.row(key, scorer.n_values(chunk.needs[key])) for key in known}
        answers = scorer.read(new, meter.on_run)
        variants = [variant for _, variant in chunk.scored]
        scores = scorer.score(variants, answers | before)
        if on_error == "stop":
            scorer.check(scores, [row.where for row, _ in chunk.scored])
        columns = output_columns(chunk, scorer, names, scores, notices)
        part = key_of("part", str(chunk.rows[0].number))
        entries = [Entry(row.number, [], [part], row.identity) for row in chunk.rows]
        counts = {
            "tokens": meter.n_chunk_tokens,
            "unscored": len(chunk.rows) - len(variants),
            "empty": int(np.isnan(scores).any(1).sum()),
        }
        journal.commit(entries, answers | {part: pack_columns(columns)}, counts)
    totals = {"n_records": rows.n_read, "digest": rows.digest, "notices": dict(+notices)}
    has_reasons = on_error == "skip" or journal.counts["unscored"] + journal.counts["empty"] > 0
    journal.finish(totals | {"has_reasons": has_reasons})
    return meter.n_tokens


class _Meter:
    """Tells the progress how far the work is."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._has_begun = False
        self.n_tokens = self.n_chunk_tokens = 0

    def begin(self, chunk: Chunk, n_new_tokens: int) -> None:
        """A chunk begins that takes so many tokens. Before the first one is what was done already."""
        self._chunk, self._n_new_tokens, self.n_chunk_tokens = chunk, n_new_tokens, 0
        if not self._has_begun:
            self._has_begun = True
            self._progress.start_from(chunk.share_before)

    def on_run(self, n_tokens: int) -> None:
        self.n_tokens += n_tokens
        self.n_chunk_tokens += n_tokens
        before, after = self._chunk.share_before, self._chunk.share_after
        fraction = None
        if before is not None and after is not None:
            fraction = before + (after - before) * self.n_chunk_tokens / self._n_new_tokens
        self._progress.update(tokens=self.n_tokens, fraction=fraction)


def output_columns(
    chunk: Chunk, scorer: Scorer, names: Sequence[str], scores: NDArray[np.float32], notices: Counter[str]
) -> Columns:
    """What the table holds of these rows: the input's columns, then ours. ``scores``: (scored rows, models);
    one that is NaN, and the mean with it, is left empty, as those of the other rows are, and ``WHY`` says
    why.
    """
    import pyarrow as pa  # heavy: this module is imported with every command

    variants = [row.variant for row in chunk.rows]
    is_empty = np.isnan(scores)
    of_all = np.full((len(variants), scores.shape[1]), np.nan, np.float32)
    of_all[[isinstance(variant, Variant) for variant in variants]] = scores
    mean = of_all.mean(1, dtype=np.float64).astype(np.float32)
    methods, are_windowed, reasons = zip(*_facts_of(variants, scorer, names, is_empty), strict=True)
    added = {
        "method": pa.array(methods, pa.string()),
        "windowed": pa.array(are_windowed, pa.bool_()),
        **{f"score_{name}": pa.array(of_all[:, model], from_pandas=True) for model, name in enumerate(names)},
        "score": pa.array(mean, from_pandas=True),
        WHY: pa.array(reasons, pa.string()),
    }
    apart = kept_apart(chunk.columns, added)
    notices[RENAMED] = sum(name not in apart for name in chunk.columns)
    return apart | added


def _facts_of(
    variants: Sequence[Variant | Unscored],
    scorer: Scorer,
    names: Sequence[str],
    are_empty: NDArray[np.bool_],
) -> Iterator[tuple[str | None, bool | None, str | None]]:
    """Of each row the method, whether a model saw its protein by windows, and why it is empty.
    ``are_empty``: the scores of the rows with a variant.
    """
    empty = iter(are_empty)
    for variant in variants:
        if isinstance(variant, Unscored):
            yield None, None, variant.reason
        else:
            reason = scorer.reason(names, next(empty))
            yield variant.method(scorer.method), scorer.is_windowed(variant), reason
