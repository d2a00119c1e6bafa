"""Judgements: a model and its baselines are measured side by side, on the same resamples of the rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats
from biofm_datasets.progress import no_progress

from biofm.evaluation.bootstrap import IntervalEstimate, draw_counts, estimate
from biofm.evaluation.supervised.labels import Labels
from biofm.evaluation.supervised.task_metrics import (
    METRICS,
    PRIMARY,
    Outputs,
    mean_of_defined,
    measurement_of,
)

Kind = Literal["model", "baseline"]


class Predictions(NamedTuple):
    """Holds the outputs of a model or a baseline for the judged rows.

    Attributes:
        name: Name of the model or baseline.
        kind: Whether it is a model or a baseline.
        outputs: Predicted numbers or probabilities for each row, or for each residue.
        fitted: Rows that it was fitted to, in words.
    """

    name: str
    kind: Kind
    outputs: Outputs
    fitted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRow:
    """Holds the metrics of a model or a baseline.

    Attributes:
        name: Name of the model or baseline.
        kind: Whether it is a model or a baseline.
        fitted: Rows that it was fitted to, in words.
        measures: Metrics by their names, averaged over all targets.
        by_target: Metrics of each target; empty if there is only one.
    """

    name: str
    kind: Kind
    fitted: str
    measures: dict[str, IntervalEstimate]
    by_target: dict[str, dict[str, IntervalEstimate]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """Compares the model with a baseline.

    Attributes:
        baseline: Name of the baseline.
        measure: Name of the metric.
        model_value: Value of the model.
        baseline_value: Value of the baseline.
        difference: Value of the model minus that of the baseline, with its interval.
    """

    baseline: str
    measure: str
    model_value: float
    baseline_value: float
    difference: IntervalEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Holds the metrics of a model and its baselines on the same rows.

    Attributes:
        n_rows: Number of rows.
        n_residues: Number of judged residues; None if labels belong to whole sequences.
        rows: Metrics of the model, then of each baseline.
        leads: The model against each baseline, in the primary metric.
    """

    n_rows: int
    n_residues: int | None
    rows: list[JudgedRow]
    leads: list[Lead]


def judge_predictions(
    labels: Labels,
    predictions: Sequence[Predictions],
    *,
    n_resamples: int,
    seed: int,
    progress: Callable[[int, int], None] = no_progress,
) -> Judgement:
    """Judge predictions with 95 % bootstrap intervals.

    Args:
        labels: Truth of the judged rows.
        predictions: Predictions of the model, then of each baseline.
        n_resamples: Number of resamples of the rows.
        seed: Seed of the resamples.
        progress: Called with the number of resamples done and of all resamples.
    """
    measurements = [measurement_of(labels, it.outputs) for it in predictions]
    found: list[dict[str, list[Floats]]] = [{name: [] for name in METRICS[labels.task]} for _ in predictions]
    n_done = 0
    for counts in chain([np.ones((1, len(labels)))], draw_counts(len(labels), n_resamples, seed)):
        for measure, parts in zip(measurements, found, strict=True):
            for name, values in measure(counts).items():
                parts[name].append(values)
        progress(n_done, n_resamples)
        n_done += len(counts)
    measured = [{name: np.concatenate(parts) for name, parts in it.items()} for it in found]
    rows = [_row(it, of, labels.targets) for it, of in zip(predictions, measured, strict=True)]
    (model, of_model), *baselines = zip(predictions, measured, strict=True)
    assert model.kind == "model", "the model comes first"
    leads = [_lead(it.name, of, of_model, PRIMARY[labels.task]) for it, of in baselines]
    return Judgement(
        n_rows=len(labels),
        n_residues=None if labels.offsets is None else int((labels.values >= 0).sum()),
        rows=rows,
        leads=[lead for lead in leads if lead is not None],
    )


def _row(predictions: Predictions, measured: dict[str, Floats], targets: tuple[str, ...]) -> JudgedRow:
    by_target = {}
    if len(targets) > 1:
        by_target = {
            target: {name: _estimate(values[:, i]) for name, values in measured.items()}
            for i, target in enumerate(targets)
        }
    return JudgedRow(
        name=predictions.name,
        kind=predictions.kind,
        fitted=predictions.fitted,
        measures={name: _estimate(mean_of_defined(values)) for name, values in measured.items()},
        by_target=by_target,
    )


def _lead(name: str, baseline: dict[str, Floats], model: dict[str, Floats], measure: str) -> Lead | None:
    """Compare the model with a baseline. Return None if the measure is defined for only one of the two."""
    of_baseline, of_model = mean_of_defined(baseline[measure]), mean_of_defined(model[measure])
    difference = _estimate(of_model - of_baseline)
    if difference.value is None:
        return None
    return Lead(
        baseline=name,
        measure=measure,
        model_value=float(of_model[0]),
        baseline_value=float(of_baseline[0]),
        difference=difference,
    )


def _estimate(values: Floats) -> IntervalEstimate:
    """Return the value of the rows themselves, which comes first, with the interval of the resamples."""
    return estimate(values[0], values[1:])
