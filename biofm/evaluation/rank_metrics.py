"""Rank metrics: four metrics compare a score with measurements, over many resamples of the rows at once.

A resample is given as how often it drew each row: ``counts``, shape (resamples, rows). The values are sorted
once. The ranks in every resample, with ties averaged, follow from a cumulative sum over the sorted rows,
which is linear in the rows and needs no sort in each resample. Counts of one are the table itself.

Higher scores should mean higher measurements. A metric that is not defined is NaN.
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

TOP_SHARE = 10
"""NDCG judges the best-scored tenth of the rows, as ProteinGym does."""


class Ranking:
    """Holds values in order; equal values share a level."""

    def __init__(self, values: Floats) -> None:
        self.levels, self.level_of = np.unique(values, return_inverse=True)
        self._order = np.argsort(self.level_of, kind="stable")
        self._starts = np.searchsorted(self.level_of[self._order], np.arange(len(self.levels)))

    def tally(self, weights: Floats) -> Floats:
        """Sum ``weights`` (resamples, rows) over each level, and return an array (resamples, levels)."""
        ordered = weights[:, self._order]
        if len(self.levels) == len(self._order):
            return ordered
        tally: Floats = np.add.reduceat(ordered, self._starts, axis=1)
        return tally


class Drawn:
    """Holds a ranking in each resample: how many rows of each level were drawn, and their ranks."""

    def __init__(self, ranking: Ranking, counts: Floats) -> None:
        self.ranking = ranking
        self.n_rows = counts.sum(1, keepdims=True)
        self.n_at = ranking.tally(counts)
        self.n_up_to = np.cumsum(self.n_at, axis=1)

    @cached_property
    def ranks(self) -> Floats:
        """The ranks of the levels, which count from 1; ties are averaged."""
        return self.n_up_to - (self.n_at - 1) / 2

    @cached_property
    def top_discounts(self) -> Floats:
        """The sum of 1 / log2(place + 1) over the places that each level has among the best tenth."""
        n_top = self.n_rows // TOP_SHARE
        places = np.arange(1, int(n_top.max(initial=0)) + 1)
        discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(places + 1))])
        n_above = np.minimum(self.n_rows - self.n_up_to, n_top).astype(np.intp)
        n_with = np.minimum(self.n_rows - self.n_up_to + self.n_at, n_top).astype(np.intp)
        top: Floats = discounts[n_with] - discounts[n_above]
        return top


class Sample:
    """Holds a score and the measurements of the same rows, in each resample."""

    def __init__(self, counts: Floats, measured: Drawn, score: Drawn, is_positive: NDArray[np.bool_]) -> None:
        self.counts = counts
        self.measured = measured
        self.score = score
        self.n_positive_at = score.ranking.tally(counts * is_positive)


def spearman(sample: Sample) -> Floats:
    """Compute Pearson's correlation of the ranks, with ties averaged."""
    middle = (sample.score.n_rows + 1) / 2
    variance = np.ones(len(sample.counts))
    deviations = []
    for drawn in (sample.measured, sample.score):
        deviation = drawn.ranks - middle
        variance *= np.einsum("rl,rl,rl->r", drawn.n_at, deviation, deviation)
        deviations.append(deviation[:, drawn.ranking.level_of])
    return ratio(np.einsum("ri,ri,ri->r", sample.counts, *deviations), np.sqrt(variance))


def auroc(sample: Sample) -> Floats:
    """Compute how probably a positive row outscores a negative one; a tie counts half (Mann-Whitney)."""
    return area_under_roc(sample.score, sample.n_positive_at)


def area_under_roc(score: Drawn, n_positive_at: Floats) -> Floats:
    """Compute AUROC from how many positive rows were drawn at each level of a score, (resamples, levels)."""
    n_positive = n_positive_at.sum(1)
    n_negative = score.n_rows[:, 0] - n_positive
    rank_sum = np.einsum("rl,rl->r", n_positive_at, score.ranks)
    return ratio(rank_sum - n_positive * (n_positive + 1) / 2, n_positive * n_negative)


def area_under_precision(score: Drawn, n_positive_at: Floats) -> Floats:
    """Compute AUPRC as average precision: precision at each level, weighted by the recall that the level
    adds.
    """
    n_found = n_positive_at[:, ::-1].cumsum(1)[:, ::-1]
    n_chosen = score.n_at[:, ::-1].cumsum(1)[:, ::-1]
    gain = np.einsum("rl,rl->r", n_positive_at, n_found / np.maximum(n_chosen, 1))
    return ratio(gain, n_positive_at.sum(1))


def ndcg(sample: Sample) -> Floats:
    """Compute the normalised discounted cumulative gain of the best-scored tenth of the rows (rounded down).

    The gains are the measurements scaled to [0, 1]: ``calc_ndcg`` of ProteinGym (Notin et al. 2023; file
    proteingym/performance_DMS_benchmarks.py). Rows that tie share their places evenly (McSherry and Najork
    2008); in ProteinGym the sort decides their order. It is undefined below ten rows.
    """
    measured, score = sample.measured, sample.score
    levels = measured.ranking.levels - measured.ranking.levels[0]
    least = levels[np.argmax(measured.n_at > 0, axis=1)][:, None]
    gains = levels[measured.ranking.level_of]
    mean_gains = score.ranking.tally(sample.counts * gains) / np.maximum(score.n_at, 1)
    gain = np.einsum("rl,rl->r", score.top_discounts, (mean_gains - least) * (score.n_at > 0))
    best_gain = np.einsum("rl,rl->r", measured.top_discounts, levels - least)
    return ratio(gain, best_gain)


def mcc(sample: Sample) -> Floats:
    """Compute Matthews' correlation of the positive rows with the rows scored at or above the median score.

    The threshold is ProteinGym's (the file named at ``ndcg``). If either side has only one kind the value is
    0, as in scikit-learn and therefore in ProteinGym.
    """
    n_rows = sample.score.n_rows
    is_above = sample.score.n_up_to > n_rows // 2  # for an even number of rows, from the upper middle one
    n_above = (sample.score.n_at * is_above).sum(1)
    n_positive = sample.n_positive_at.sum(1)
    n_hits = (sample.n_positive_at * is_above).sum(1)
    n = n_rows[:, 0]
    spread = np.sqrt(n_above * (n - n_above) * n_positive * (n - n_positive))
    return ratio(n * n_hits - n_above * n_positive, spread, undefined=0.0)


METRICS: dict[str, Callable[[Sample], Floats]] = {
    "spearman": spearman,
    "auroc": auroc,
    "ndcg": ndcg,
    "mcc": mcc,
}


def ratio(above: Floats, below: Floats, undefined: float = np.nan) -> Floats:
    """Divide, and return ``undefined`` where ``below`` is not positive."""
    quotient: Floats = np.divide(above, below, out=np.full(np.shape(above), undefined), where=below > 0)
    return quotient
