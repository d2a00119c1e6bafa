"""Scoring runs: score the rows with loaded models and write the finished table.

This imports torch, so ``biofm.api.score`` imports it only when a run or an estimate starts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, cast

import numpy as np

from biofm.api.finished import ALREADY_WHOLE, check_finished, describe_resumed, labels_of, provenance_of
from biofm.api.loading import with_demonstration
from biofm.api.model import Model
from biofm.api.table import write_score_table
from biofm.api.work import Work
from biofm.core.journal import Fields, Journal
from biofm.core.progress import ProgressSink
from biofm.core.tables import Columns
from biofm.gate import Permit
from biofm.inference.scoring import (
    STANDARD,
    Cases,
    Rows,
    ScoreEstimate,
    Scorer,
    ScoreSummary,
    ScoreTotals,
    Variant,
    estimate_scores,
    fingerprint_of_scores,
    note_empty_rows,
    provenance_of_scores,
    scan_matrix,
    score_to_journal,
    totals_of_journal,
    totals_of_rows,
)
from biofm.report import draw_scan

SCORE_NAMES = {
    "masked-marginals": "masked-marginal score",
    "wt-marginals": "wild-type-marginal score",
    "pseudo-perplexity": "pseudo-log-likelihood ratio",
}
"""What figures call the scores of a method."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreJob:
    """Holds what one scoring run works with.

    Attributes:
        work: The part of the input to score, and where its unfinished work lies.
        picture: The file for a figure; None draws none.
        offset: What the residue numbers of the variants are higher than positions in the sequence.
        on_error: Whether a faulty row stops the run or is skipped.
        names: The names of the models' columns.
        loaded: The models, in the order of ``names``.
        scorer: What computes the scores.
        where: What messages call the file of the rows.
        first: The first part of the rows.
        rows: All rows, the first part included.
        notices: What was changed or skipped, counted.
        began: The time of the start, in seconds of ``perf_counter``.
    """

    work: Work
    picture: Path | None
    offset: int
    on_error: str
    names: Sequence[str]
    loaded: Sequence[Model]
    scorer: Scorer
    where: str
    first: Cases
    rows: Rows
    notices: Counter[str]
    began: float

    def estimate(self) -> ScoreEstimate:
        """Predict the time, memory and disk space of the run; read all rows, and write nothing."""
        compute = self.loaded[0].compute
        found = estimate_scores(self.rows, self.scorer, self.names, self.work.shard, self.notices, compute)
        return replace(found, notices=self._with_demonstrations(found.notices))

    def run(self, permit: Permit, progress: ProgressSink) -> ScoreSummary:
        """Score the rows that are not scored yet, then write the table unless this is a shard."""
        journal = permit.journal("work")
        n_before = journal.n_done
        self._score(permit, journal, progress)
        totals, seconds = totals_of_journal(journal, n_before), perf_counter() - self.began
        note_empty_rows([journal], self.notices)
        if not self.work.is_shard:
            self._write(journal, permit, progress)
        if self.work.resume:
            words = "variant", "variants"
            self.notices[describe_resumed(n_before or None, totals.n_variants, words, "scored")] = 1
        return self._summary(totals, seconds, provenance_of(journal))

    def find(self, permit: Permit) -> ScoreSummary:
        """Return the summary of a run that had finished before.

        Raises:
            OutputError: Another request made the output.
        """
        work = self.work
        totals = totals_of_rows(self.rows, work.shard)
        made_so = check_finished(permit, work.made, self._provenance(), self.rows.digest, work.shard)
        self.notices[ALREADY_WHOLE] += 1
        return self._summary(totals, perf_counter() - self.began, made_so)

    def _score(self, permit: Permit, journal: Journal, progress: ProgressSink) -> None:
        """Score the rows that the journal does not hold yet."""
        shard, how = self.work.shard, self._provenance()
        made = fingerprint_of_scores(self.scorer, how, self.names, shard)
        journal.begin(made, cast("Fields", how | labels_of(permit)))
        with progress.bar("scoring") as bar:
            score_to_journal(
                self.rows,
                self.scorer,
                self.names,
                journal,
                shard,
                self.where,
                self.notices,
                bar,
                on_error=self.on_error,
            )

    def _write(self, journal: Journal, permit: Permit, progress: ProgressSink) -> None:
        """Write the table and, if it was asked for, the picture."""
        scores: list[Any] = []  # the mean scores of each block

        def keep(block: Columns) -> None:
            if self.picture is not None:
                scores.append(block["score"])

        write_score_table([journal], permit, self.work.made, progress, self.notices, keep)
        if self.picture is not None:
            self._draw(scores, permit.writer("picture"), self.picture.suffix.lower())

    def _draw(self, scores: Sequence[Any], handle: BinaryIO, suffix: str) -> None:
        """Draw all substitutions; ``scores`` holds the blocks in the order in which they were written."""
        scanned = self.first.variants[0]
        assert isinstance(scanned, Variant), "a scan holds only variants"
        matrix = scan_matrix(scanned.wild_type, np.concatenate([block.to_numpy() for block in scores]))
        draw_scan(
            scanned.wild_type,
            matrix,
            STANDARD,
            1 + self.offset,
            f"{self.first.columns['protein'][0]}: {', '.join(self.names)}",
            handle,
            suffix,
            score_name=f"{'mean ' * (len(self.names) > 1)}{SCORE_NAMES[self.scorer.method]} (nats)",
            models=self.names,
        )

    def _summary(self, totals: ScoreTotals, seconds: float, provenance: Mapping[str, Any]) -> ScoreSummary:
        return ScoreSummary(
            output=str(self.work.made),
            n_variants=totals.n_variants,
            n_unscored=totals.n_unscored,
            n_tokens=totals.n_tokens,
            seconds=seconds,
            variants_per_second=totals.n_scored / seconds,
            dtype_reason=self.loaded[0].compute.reason,
            provenance=provenance,
            notices=self._with_demonstrations(+self.notices),
        )

    def _with_demonstrations(self, notices: Mapping[str, int]) -> dict[str, int]:
        """Return the notices, and behind them one for each demonstration model."""
        return with_demonstration(notices, *(one.info.name for one in self.loaded))

    def _provenance(self) -> dict[str, Any]:
        """Return everything that decides the scores, for the table or the file beside it."""
        names = [one.info.name for one in self.loaded]
        return provenance_of_scores(self.scorer, names, self.offset, self.loaded[0].compute)
