"""The judgement of predictions: a model and its baselines side by side, on the same resamples of the rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats

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
    """The outputs of a model or a baseline for the rows that are judged. ``fitted``: in words, the rows
    that it was fitted to.
    """

    name: str
    kind: Kind
    outputs: Outputs
    fitted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRow:
    """The metrics of a model or a baseline: ``measures`` are the means over all targets; ``by_target``
    holds each target's own where there are several.
    """

    name: str
    kind: Kind
    fitted: str
    measures: dict[str, IntervalEstimate]
    by_target: dict[str, dict[str, IntervalEstimate]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """The model beside a baseline: ``difference`` is the model's value of ``measure`` less the baseline's."""

    baseline: str
    measure: str
    model_value: float
    baseline_value: float
    difference: IntervalEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The model and its baselines on ``n_rows`` rows; ``n_residues`` counts what was judged of labels per
    residue. ``rows`` has the model first.
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
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Judgement:
    """Judge each of ``predictions``, whose first is the model's, with 95 % bootstrap intervals."""
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
    """None where the measure is defined for one of the two alone."""
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
    """The value of the rows themselves, which comes first, with the interval of the resamples."""
    return estimate(values[0], values[1:])
