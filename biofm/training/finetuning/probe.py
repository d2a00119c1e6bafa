"""Probe: a linear head is fitted to fixed vectors, by ridge regression or by logistic regression."""

from typing import NamedTuple

import numpy as np
from biofm_datasets.arrays import Indices
from numpy.typing import NDArray

from biofm.evaluation import (
    LEAST_PROBABILITY,
    LOGISTIC_C,
    Logistic,
    Scale,
    fit_dense_ridge,
    fit_logistic,
    scale_of,
    vector_blocks,
)
from biofm.evaluation.supervised import UNKNOWN, Labels, units_of
from biofm.inference.prediction import Head, linear_head
from biofm.training.finetuning.plan import MemberPlan

Vectors = NDArray[np.float32]

CS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
MOST_BYTES = 512 << 20  # most bytes of vectors that a logistic regression holds at once
MOST_UNITS = 200_000
MOST_UNITS_TO_CHOOSE = 20_000


class Probe(NamedTuple):
    """Holds a fitted head.

    Attributes:
        judged: The head that was fitted without the validation rows.
        final: The head that was fitted with them.
        penalty: The chosen penalty: the ridge's alpha for each target, or the logistic regression's C.
    """

    judged: Head
    final: Head
    penalty: dict[str, float]


def fit_probe(member: MemberPlan, labels: Labels, vectors: Vectors, *, resamples: bool) -> Probe:
    """Fit a head to the member's rows, or with ``resamples`` to as many rows drawn with replacement.

    A ridge regression chooses its penalty on the rows to which it is fitted. A logistic regression takes the
    penalty that predicts the validation rows best, for ``final`` too.
    """
    rng = np.random.default_rng(member.seed)
    both = np.sort(np.concatenate([member.train, member.validation]))
    train, everything = (_drawn(rows, rng, resamples=resamples) for rows in (member.train, both))
    if labels.task == "regression":
        judged, _ = _ridges(labels, vectors, train)
        final, penalty = _ridges(labels, vectors, everything)
        return Probe(judged, final, penalty)
    c = _choose_c(labels, vectors, train, member.validation, rng)
    judged, final = (_logistic(labels, vectors, rows, c, rng, MOST_UNITS) for rows in (train, everything))
    return Probe(judged, final, {"c": c})


def _drawn(rows: Indices, rng: np.random.Generator, *, resamples: bool) -> Indices:
    return np.sort(rng.choice(rows, len(rows))) if resamples else rows


def _ridges(labels: Labels, vectors: Vectors, rows: Indices) -> tuple[Head, dict[str, float]]:
    fits = []
    for truth in labels.numbers.T:
        known = rows[~np.isnan(truth[rows])]
        fits.append(fit_dense_ridge(vectors, known, truth[known]))
    weights = np.stack([fit.weights for fit in fits]).astype(np.float32)
    head = linear_head(labels.task, weights, np.array([fit.bias for fit in fits], np.float32))
    return head, {f"alpha {target}": fit.alpha for target, fit in zip(labels.targets, fits, strict=True)}


def _choose_c(
    labels: Labels, vectors: Vectors, train: Indices, validation: Indices, rng: np.random.Generator
) -> float:
    """Choose the C whose fit to some of the training rows predicts the validation rows best."""
    units = _known_units(labels, validation, rng, MOST_UNITS_TO_CHOOSE)
    losses = []
    for c in CS:
        head = _logistic(labels, vectors, train, c, np.random.default_rng(0), MOST_UNITS_TO_CHOOSE)
        outputs = head.outputs(np.asarray(vectors[units]), np.ones(len(units), np.int64))
        losses.append(_loss(labels, units, outputs))
    return LOGISTIC_C if np.isnan(losses).any() else CS[int(np.argmin(losses))]


def _loss(labels: Labels, units: Indices, outputs: Vectors) -> float:
    """Compute the mean negative log-likelihood; NaN if no label is known."""
    if labels.classes:
        of_truth = outputs[np.arange(len(units)), labels.codes[units]]
    else:
        truth = labels.numbers[units]
        of_truth = np.where(truth == 1, outputs, 1 - outputs)[~np.isnan(truth)]
    return float(-np.log(np.maximum(of_truth, LEAST_PROBABILITY)).mean()) if of_truth.size else np.nan


def _logistic(
    labels: Labels, vectors: Vectors, rows: Indices, c: float, rng: np.random.Generator, most: int
) -> Head:
    """Fit a logistic regression to at most ``most`` rows or residues, drawn at random."""
    units = _known_units(labels, rows, rng, min(most, MOST_BYTES // (4 * vectors.shape[1])))
    scale = scale_of(vectors, units)
    standard = ((block - scale.mean) * scale.factor for block in vector_blocks(vectors, units))
    x = np.concatenate([block.astype(np.float32) for block in standard])
    if labels.classes:
        found = _unscaled(fit_logistic(x, labels.codes[units], labels.n_outputs, c=c), scale)
        return linear_head(labels.task, found.weights.astype(np.float32), found.bias.astype(np.float32))
    weights = np.zeros((labels.n_outputs, vectors.shape[1]), np.float32)
    bias = np.zeros(labels.n_outputs, np.float32)
    for i, truth in enumerate(labels.numbers[units].T):
        is_known = ~np.isnan(truth)
        found = _unscaled(fit_logistic(x[is_known], truth[is_known].astype(np.int64), 2, c=c), scale)
        weights[i] = found.weights[1] - found.weights[0]
        bias[i] = found.bias[1] - found.bias[0]
    return linear_head(labels.task, weights, bias)


def _known_units(labels: Labels, rows: Indices, rng: np.random.Generator, most: int) -> Indices:
    """Return the rows or residues with a known label; if there are more than ``most``, a random choice."""
    units = rows if labels.offsets is None else units_of(rows, labels.offsets)
    if labels.classes:
        units = units[labels.codes[units] != UNKNOWN]
    return np.sort(rng.choice(units, most, replace=False)) if len(units) > most else units


def _unscaled(model: Logistic, scale: Scale) -> Logistic:
    """Convert a model of standardised vectors to one of the vectors themselves."""
    weights = model.weights * scale.factor
    return Logistic(weights, model.bias - weights @ scale.mean)
