"""A scoring run at work, from loaded models to a finished table.

Imports torch, so ``biofm.api.score`` imports it only when a run or an estimate begins.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, cast

import numpy as np

from biofm.api.finished import ALREADY_WHOLE, BEGUN_AFRESH, check_finished, provenance_of
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
    """What a scoring run works with since it ``began`` (seconds of ``perf_counter``).

    ``names`` are those of the columns of the ``loaded`` models. ``first`` is the first part of the ``rows``,
    which come from the file ``where``. ``offset`` is that of the variants' numbering.
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
        """What the run will take. Reads all rows, and writes nothing."""
        compute = self.loaded[0].compute
        return estimate_scores(self.rows, self.scorer, self.names, self.work.share, self.notices, compute)

    def run(self, permit: Permit, progress: ProgressSink) -> ScoreSummary:
        """Score the rows that are not scored yet; then, unless this is a share, write the table."""
        journal = permit.journal("work")
        n_before = journal.n_done
        self._score(journal, progress)
        totals, seconds = totals_of_journal(journal, n_before), perf_counter() - self.began
        note_empty_rows([journal], self.notices)
        if not self.work.is_shared:
            self._write(journal, permit, progress)
        self.notices[BEGUN_AFRESH] += self.work.resume and not n_before
        return self._summary(totals, seconds, provenance_of(journal))

    def find(self, permit: Permit) -> ScoreSummary:
        """The summary of a run that had ended before. Raises OutputError where its output is another's."""
        work = self.work
        totals = totals_of_rows(self.rows, work.share)
        made_so = check_finished(permit, work.made, self._provenance(), self.rows.digest, work.share)
        self.notices[ALREADY_WHOLE] += 1
        return self._summary(totals, perf_counter() - self.began, made_so)

    def _score(self, journal: Journal, progress: ProgressSink) -> None:
        """Score what the journal does not hold yet."""
        share, how = self.work.share, self._provenance()
        made = fingerprint_of_scores(self.scorer, how, self.names, share)
        journal.begin(made, cast("Fields", how))
        with progress.bar("scoring") as bar:
            score_to_journal(
                self.rows,
                self.scorer,
                self.names,
                journal,
                share,
                self.where,
                self.notices,
                bar,
                on_error=self.on_error,
            )

    def _write(self, journal: Journal, permit: Permit, progress: ProgressSink) -> None:
        """Write the table, and the picture that was asked for."""
        scores: list[Any] = []  # the mean scores of each block

        def keep(block: Columns) -> None:
            if self.picture is not None:
                scores.append(block["score"])

        write_score_table([journal], permit, self.work.made, progress, self.notices, keep)
        if self.picture is not None:
            self._draw(scores, permit.writer("picture"), self.picture.suffix.lower())

    def _draw(self, scores: Sequence[Any], handle: BinaryIO, suffix: str) -> None:
        """Draw the scan, whose ``scores`` come block by block, as they were written."""
        scanned = self.first.variants[0]
        assert isinstance(scanned, Variant), "a scan has nothing else"
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
            notices=dict(+self.notices),
        )

    def _provenance(self) -> dict[str, Any]:
        """Everything that decides the scores, to be kept in the table or beside it."""
        names = [one.info.name for one in self.loaded]
        return provenance_of_scores(self.scorer, names, self.offset, self.loaded[0].compute)
