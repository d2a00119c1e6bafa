"""Scores and baselines judged side by side, on the same resamples of the same rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Bools, Floats

from biofm.evaluation.assay import FEWEST_ROWS, Assay
from biofm.evaluation.baselines import Baseline
from biofm.evaluation.bootstrap import IntervalEstimate, draw_counts, estimate
from biofm.evaluation.metrics import METRICS, Drawn, Ranking, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The measures of one score or baseline, over the ``n`` rows that have it."""

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
    """Spearman of a score and of a baseline over the ``n`` rows that have both.

    ``difference`` is the score's less the baseline's, its interval from the same resamples for both.
    """

    score: str
    baseline: str
    n: int
    score_spearman: float
    baseline_spearman: float
    difference: IntervalEstimate


def scores_to_judge(assay: Assay, *, with_mean: bool) -> dict[str, Floats]:
    """The score columns and, ``with_mean``, the mean of their ranks among the judged rows that have all, if
    these are enough. Ranks, because scores of one scale and of another have no mean.
    """
    has_all = assay.is_judged & ~np.isnan(list(assay.scores.values())).any(axis=0)
    if not with_mean or np.count_nonzero(has_all) < FEWEST_ROWS:
        return assay.scores
    ranks = np.full((len(assay.scores), len(has_all)), np.nan)
    ranks[:, has_all] = [_ranks(values[has_all]) for values in assay.scores.values()]
    return assay.scores | {mean_name(len(assay.scores)): ranks.mean(axis=0)}


def mean_name(n_scores: int) -> str:
    return f"mean rank of {n_scores}"


def _ranks(values: Floats) -> Floats:
    """From 1, ties averaged."""
    ranking = Ranking(values)
    ranks: Floats = Drawn(ranking, np.ones((1, len(values)))).ranks[0, ranking.level_of]
    return ranks


def judge(
    assay: Assay,
    scores: Mapping[str, Floats],
    baselines: Sequence[Baseline],
    *,
    n_resamples: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Row], list[Comparison]]:
    """Judge every score and baseline on its rows, and each score against each baseline on common ones."""
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
    """A column, and the rows on which it is judged: an array of bool as bytes, which can be a key."""

    name: str
    mask: bytes

    @property
    def rows(self) -> Bools:
        return np.frombuffer(self.mask, np.bool_)

    @property
    def n(self) -> int:
        return int(self.rows.sum())

    def where(self, other: "_Job") -> "_Job":
        """The same column on the rows of both."""
        return _Job(self.name, (self.rows & other.rows).tobytes())


_Found = Mapping[_Job, Mapping[str, Floats]]  # by job and metric: of the table itself, then of its resamples


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
