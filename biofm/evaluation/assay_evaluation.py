"""Evaluations of assays: scores and baselines are judged side by side, on the same resamples of the rows."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Bools, Floats
from biofm_datasets.progress import no_progress

from biofm.core.environment import __version__
from biofm.core.errors import OptionError
from biofm.evaluation.assay import FEWEST_ROWS, Assay, EvaluateOptions
from biofm.evaluation.assay_baselines import (
    BLOSUM62,
    KMERS,
    ONE_HOT,
    Baseline,
    Missing,
    find_assay_baselines,
)
from biofm.evaluation.bootstrap import CONFIDENCE, IntervalEstimate, draw_counts, estimate
from biofm.evaluation.rank_metrics import METRICS, Drawn, Ranking, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Holds the metrics of one score or baseline, over the rows that have it.

    Attributes:
        name: Name of the score's column or of the baseline.
        kind: "score", "mean of ranks" or "baseline".
        n: Number of rows.
        spearman: Spearman's rank correlation with the measurements.
        auroc: Area under the ROC curve, for positive against other rows.
        ndcg: Normalised discounted cumulative gain of the best-scored tenth.
        mcc: Matthews' correlation of the positive rows with the rows scored at or above the median score.
        fitted: Measurements that a baseline was fitted to, in words; empty if it saw none.
    """

    name: str
    kind: str
    n: int
    spearman: IntervalEstimate
    auroc: IntervalEstimate
    ndcg: IntervalEstimate
    mcc: IntervalEstimate
    fitted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Compares a score with a baseline by Spearman, over the rows that have both.

    Attributes:
        score: Name of the score.
        baseline: Name of the baseline.
        n: Number of rows that have both.
        score_spearman: Spearman's rank correlation of the score.
        baseline_spearman: Spearman's rank correlation of the baseline.
        difference: The score's correlation minus the baseline's. Its interval comes from the same resamples
            for both.
    """

    score: str
    baseline: str
    n: int
    score_spearman: float
    baseline_spearman: float
    difference: IntervalEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Holds scores and baselines against the measurements of one table.

    Attributes:
        table: Name of the table.
        sha256: SHA-256 of the table.
        version: Version of biofm.
        measured: Column of the measurements.
        n_rows: Number of judged rows.
        n_train: Number of further rows, which only trained baselines.
        positive: What counts as positive for AUROC and MCC, in words.
        threshold: Least measurement of a positive row; None if a column says which rows are positive.
        n_positive: Number of positive rows among the judged ones.
        n_resamples: Number of resamples behind the intervals.
        confidence: Share of the resamples between the bounds of an interval.
        seed: Seed of the resamples and folds.
        rows: A row for each score, each baseline, and the mean rank if it was asked for.
        not_computed: Reasons for missing baselines, by their names.
        comparisons: Each score against each baseline.
        notices: Sentences on what was left out, with counts.
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
        """Return the row of this name.

        Args:
            name: Name of a score or baseline.

        Raises:
            KeyError: There is no such row.
        """
        return {row.name: row for row in self.rows}[name]


def evaluate_assay(
    assay: Assay,
    options: EvaluateOptions,
    sha256: str,
    notices: Counter[str],
    progress: Callable[[str, int, int], None] = no_progress,
) -> Evaluation:
    """Judge the scores of an assay, and the baselines that it allows.

    Args:
        assay: The measurements, scores and variants.
        options: How scores are judged.
        sha256: SHA-256 of the table.
        notices: Counts rows that are left out of a measure.
        progress: Called with the name of a stage, the work done and the whole work.

    Raises:
        InputError: Variants contradict each other.
        OptionError: A score has the name of a row that biofm adds.
    """

    def stage(name: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(name, done, total)

    scores = scores_to_judge(assay, with_mean=options.with_mean)
    _refuse_taken_names(options)
    for name, values in assay.scores.items():
        if n_empty := int(np.isnan(values[assay.is_judged]).sum()):
            notices[f"rows without a score in {name!r}, left out of its measures"] = n_empty
    found = find_assay_baselines(assay, options.seed, notices, stage("fitting baselines"))
    baselines = [baseline for baseline in found if isinstance(baseline, Baseline)]
    missing = {baseline.name: baseline.reason for baseline in found if isinstance(baseline, Missing)}
    if options.with_mean and len(scores) == len(assay.scores):
        missing[_mean_name(len(assay.scores))] = f"fewer than {FEWEST_ROWS} rows have all the scores"
    rows, comparisons = _judge(
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


def scores_to_judge(assay: Assay, *, with_mean: bool) -> dict[str, Floats]:
    """Return the score columns by name, and the mean of their ranks if it is asked for.

    Ranks are taken among the judged rows that have all scores. They are needed because scores of different
    scales have no meaningful mean.

    Args:
        assay: The measurements, scores and variants.
        with_mean: Whether to add the mean of the ranks; it is left out if too few rows have all scores.
    """
    has_all = assay.is_judged & ~np.isnan(list(assay.scores.values())).any(axis=0)
    if not with_mean or np.count_nonzero(has_all) < FEWEST_ROWS:
        return assay.scores
    ranks = np.full((len(assay.scores), len(has_all)), np.nan)
    ranks[:, has_all] = [_ranks(values[has_all]) for values in assay.scores.values()]
    return assay.scores | {_mean_name(len(assay.scores)): ranks.mean(axis=0)}


def _refuse_taken_names(options: EvaluateOptions) -> None:
    for name in (BLOSUM62, ONE_HOT, KMERS, _mean_name(len(options.score_columns))):
        if name in options.score_columns:
            what = f"column {name!r} has the name of a row that biofm adds"
            raise OptionError(what, where="--score-column", remedy="Rename the column")


def _mean_name(n_scores: int) -> str:
    return f"mean rank of {n_scores}"


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1; ties get their mean rank."""
    ranking = Ranking(values)
    ranks: Floats = Drawn(ranking, np.ones((1, len(values)))).ranks[0, ranking.level_of]
    return ranks


def _judge(
    assay: Assay,
    scores: Mapping[str, Floats],
    baselines: Sequence[Baseline],
    *,
    n_resamples: int,
    seed: int,
    progress: Callable[[int, int], None] = no_progress,
) -> tuple[list[Row], list[Comparison]]:
    """Judge every score and baseline on the rows that have it, and each score against each baseline on the
    rows that have both.
    """
    columns = dict(scores) | {baseline.name: baseline.values for baseline in baselines}
    values = {name: column[assay.is_judged] for name, column in columns.items()}
    alone = {name: _Job(name, (~np.isnan(column)).tobytes()) for name, column in values.items()}
    pairs = [
        (alone[score].where(alone[baseline.name]), alone[baseline.name].where(alone[score]))
        for score in scores
        for baseline in baselines
    ]
    pairs = [pair for pair in pairs if pair[0].n >= FEWEST_ROWS]

    blocks = draw_counts(int(assay.is_judged.sum()), n_resamples, seed)
    jobs = {*alone.values(), *chain.from_iterable(pairs)}
    found = _measure(jobs, assay, values, blocks, lambda n_done: progress(n_done, n_resamples))
    fitted = {baseline.name: baseline.fitted for baseline in baselines}
    kinds = (
        dict.fromkeys(scores, "mean of ranks")
        | dict.fromkeys(assay.scores, "score")
        | dict.fromkeys(fitted, "baseline")
    )
    rows = [
        Row(
            name=name,
            kind=kinds[name],
            n=job.n,
            fitted=fitted.get(name, ""),
            **{metric: estimate(it[0], it[1:]) for metric, it in found[job].items()},
        )
        for name, job in alone.items()
    ]
    compared = [_compare(score, baseline, found) for score, baseline in pairs]
    return rows, [comparison for comparison in compared if comparison.difference.value is not None]


class _Job(NamedTuple):
    """Holds a column and the rows on which it is judged: an array of bool as bytes, so that a job can be a
    key.
    """

    name: str
    mask: bytes

    @property
    def rows(self) -> Bools:
        return np.frombuffer(self.mask, np.bool_)

    @property
    def n(self) -> int:
        return int(self.rows.sum())

    def where(self, other: "_Job") -> "_Job":
        """Return the same column on the rows that both jobs have."""
        return _Job(self.name, (self.rows & other.rows).tobytes())


_Found = Mapping[_Job, Mapping[str, Floats]]
"""Holds by job and metric the value of the table itself, then the values of its resamples."""


def _measure(
    jobs: Iterable[_Job],
    assay: Assay,
    values: Mapping[str, Floats],
    blocks: Iterable[Floats],
    progress: Callable[[int], None],
) -> _Found:
    measured, is_positive = assay.measured[assay.is_judged], assay.is_positive[assay.is_judged]
    of_score = {job: Ranking(values[job.name][job.rows]) for job in jobs}
    of_measured = {job.mask: Ranking(measured[job.rows]) for job in jobs}
    parts: dict[_Job, dict[str, list[Floats]]] = {job: {metric: [] for metric in METRICS} for job in jobs}
    n_done = 0
    for counts in chain([np.ones((1, len(measured)))], blocks):
        drawn = {mask: counts[:, np.frombuffer(mask, np.bool_)] for mask in of_measured}
        measured_drawn = {mask: Drawn(ranking, drawn[mask]) for mask, ranking in of_measured.items()}
        for job, ranking in of_score.items():
            score_drawn = Drawn(ranking, drawn[job.mask])
            sample = Sample(drawn[job.mask], measured_drawn[job.mask], score_drawn, is_positive[job.rows])
            for metric, measure in METRICS.items():
                parts[job][metric].append(measure(sample))
        progress(n_done)
        n_done += len(counts)
    return {job: {metric: np.concatenate(of) for metric, of in found.items()} for job, found in parts.items()}


def _compare(score: _Job, baseline: _Job, found: _Found) -> Comparison:
    of_score, of_baseline = found[score]["spearman"], found[baseline]["spearman"]
    difference = of_score - of_baseline
    return Comparison(
        score=score.name,
        baseline=baseline.name,
        n=score.n,
        score_spearman=float(of_score[0]),
        baseline_spearman=float(of_baseline[0]),
        difference=estimate(difference[0], difference[1:]),
    )
