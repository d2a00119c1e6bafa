"""From an assay to what is said of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from biofm.core.errors import OptionError
from biofm.core.version import __version__
from biofm.evaluation.assay import FEWEST_ROWS, Assay
from biofm.evaluation.baselines import BLOSUM62, KMERS, ONE_HOT, Baseline, Missing, find_baselines
from biofm.evaluation.bootstrap import CONFIDENCE
from biofm.evaluation.judge import Comparison, Row, judge, mean_name, scores_to_judge
from biofm.evaluation.options import EvaluateOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Scores and baselines against the measurements of one table.

    sha256: of the table. n_rows: that were judged; ``n_train`` more only trained the baselines.
    positive: what counts as positive for AUROC and MCC; ``threshold`` is None where a column said it.
    n_resamples, confidence, seed: of the bootstrap intervals, by percentiles.
    rows: a score, the mean rank by several, or a baseline each. not_computed: what is missing, and why.
    """

    table: str
    sha256: str
    version: str
    measured: str
    n_rows: int
    n_train: int
    positive: str
    threshold: float | None
    n_positive: int
    n_resamples: int
    confidence: float
    seed: int
    rows: list[Row]
    not_computed: dict[str, str]
    comparisons: list[Comparison]
    notices: dict[str, int]

    def row(self, name: str) -> Row:
        """The row of this name. Raises KeyError where there is none."""
        return {row.name: row for row in self.rows}[name]


def evaluate_assay(
    assay: Assay,
    options: EvaluateOptions,
    sha256: str,
    notices: Counter[str],
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Evaluation:
    """Judge the assay's scores, and the baselines that it allows.

    Raises InputError: its variants contradict each other. OptionError: a score has the name of another row.
    """

    def stage(name: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(name, done, total)

    scores = scores_to_judge(assay, with_mean=options.with_mean)
    _refuse_taken_names(options)
    for name, values in assay.scores.items():
        if n_empty := int(np.isnan(values[assay.is_judged]).sum()):
            notices[f"rows without a score in {name!r}, left out of its measures"] = n_empty
    found = find_baselines(assay, options.seed, notices, stage("fitting baselines"))
    baselines = [baseline for baseline in found if isinstance(baseline, Baseline)]
    missing = {baseline.name: baseline.reason for baseline in found if isinstance(baseline, Missing)}
    if options.with_mean and len(scores) == len(assay.scores):
        missing[mean_name(len(assay.scores))] = f"fewer than {FEWEST_ROWS} rows have all the scores"
    rows, comparisons = judge(
        assay,
        scores,
        baselines,
        n_resamples=options.n_resamples,
        seed=options.seed,
        progress=stage("resampling"),
    )
    return Evaluation(
        table=assay.name,
        sha256=sha256,
        version=__version__,
        measured=options.measured_column,
        n_rows=int(assay.is_judged.sum()),
        n_train=int((~assay.is_judged).sum()),
        positive=assay.positive,
        threshold=assay.threshold,
        n_positive=int(assay.is_positive[assay.is_judged].sum()),
        n_resamples=options.n_resamples,
        confidence=CONFIDENCE,
        seed=options.seed,
        rows=rows,
        not_computed=missing,
        comparisons=comparisons,
        notices=dict(notices),
    )


def _refuse_taken_names(options: EvaluateOptions) -> None:
    for name in (BLOSUM62, ONE_HOT, KMERS, mean_name(len(options.score_columns))):
        if name in options.score_columns:
            what = f"column {name!r} has the name of a row that biofm adds"
            raise OptionError(what, where="--score-column", remedy="Rename the column")
