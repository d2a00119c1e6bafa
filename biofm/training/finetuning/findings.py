"""Findings: the predictions of all members are combined, calibrated and compared with baselines."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.evaluation import (
    Calibration,
    Missing,
    calibration_error,
    fit_intervals,
    fit_temperatures,
)
from biofm.evaluation.supervised import (
    Judgement,
    LabelledTable,
    Labels,
    Predictions,
    find_baselines,
    judge_predictions,
    offsets_of,
    units_of,
)
from biofm.inference.prediction import Answer, Combined, Domain, combine, describe_training
from biofm.training.finetuning.members import Answers, FinetuneRun
from biofm.training.finetuning.plan import OUT_OF_FOLD, TEST_ROWS, JudgedSet, Plan

LEAST_SPREAD = 1e-3
"""Predictions that spread less than this share of the measured values are nearly the same for every row."""


class Findings(NamedTuple):
    """Holds the evaluation of a predictor.

    Attributes:
        answers: The predictor's outputs for the rows of each judged set, by the set's name.
        judgements: The evaluation of these outputs, by the set's name.
        calibration: What makes intervals or probabilities of the outputs.
        calibrated: How well intervals or probabilities did on the test set; empty without a test set.
        domain: What the training rows are like.
        distances: The distance of each test row to the training rows; None if it is not known.
        missing: The baselines that could not be computed, each with the reason.
    """

    answers: dict[str, Combined]
    judgements: dict[str, Judgement]
    calibration: Calibration
    calibrated: dict[str, Any]
    domain: Domain
    distances: NDArray[np.float64] | None
    missing: dict[str, str]


def judge_members(run: FinetuneRun, answers: Sequence[Answers]) -> Findings:
    """Evaluate the combined predictions of all members, which are in the order of the plan."""
    table, plan, recipe = run.table, run.plan, run.recipe
    held_out = _combine_held_out(table.labels, plan, answers)
    found = {}
    if len(plan.test):
        found[TEST_ROWS] = combine(
            [it.test.outputs for it in answers], [member.fold for member in plan.members]
        )
    if recipe.n_folds:
        found[OUT_OF_FOLD] = held_out
    calibration = _calibrate(table.labels.take(plan.calibration), held_out)
    judgements, missing = {}, dict[str, str]()
    for name, combined in found.items():
        shown = calibration.shown(combined.outputs)
        judgements[name], lacking = _judge_set(run, plan.judged[name], shown)
        missing |= lacking
    calibrated = {}
    if len(plan.test):
        truth = table.labels.take(plan.test)
        calibration = calibration.tested_on(truth, *_with_spread(found[TEST_ROWS]))
        calibrated = _check(truth, found[TEST_ROWS], calibration, recipe.coverage)
    domain, distances = _find_domain(table, plan, answers[0].held_out), answers[0].test.distances
    return Findings(found, judgements, calibration, calibrated, domain, distances, missing)


def _judge_set(run: FinetuneRun, judged: JudgedSet, shown: Floats) -> tuple[Judgement, dict[str, str]]:
    """Evaluate the outputs of a set as its file holds them, and name the baselines that are missing."""
    table, recipe, progress = run.table, run.recipe, run.progress
    baselines = find_baselines(
        table.sequences, table.labels, judged.fits, judged.fitted, modality=table.modality, seed=recipe.seed,
        progress=lambda done, total: progress("baselines", done, total),
    )  # fmt: skip
    model = Predictions(recipe.method, "model", shown, judged.fitted)
    judgement = judge_predictions(
        table.labels.take(judged.rows),
        [model, *(it for it in baselines if isinstance(it, Predictions))],
        n_resamples=recipe.n_resamples,
        seed=recipe.seed,
        progress=lambda done, total: progress("judging", done, total),
    )
    return judgement, {it.name: it.reason for it in baselines if isinstance(it, Missing)}


def _combine_held_out(labels: Labels, plan: Plan, answers: Sequence[Answers]) -> Combined:
    """Combine for each calibration row the outputs of the members that have not seen it.

    These are the members of its fold, or all members without folds.
    """
    offsets = np.arange(len(plan.calibration) + 1)
    if labels.offsets is not None:
        offsets = offsets_of(labels.lengths[plan.calibration])
    outputs = np.zeros((offsets[-1], labels.n_outputs))
    spread = np.zeros_like(outputs)
    for fold in sorted({member.fold for member in plan.members}):
        of_fold = [i for i, member in enumerate(plan.members) if member.fold == fold]
        rows = plan.members[of_fold[0]].held_out
        places = units_of(np.searchsorted(plan.calibration, rows), offsets)
        combined = combine([answers[i].held_out.outputs for i in of_fold], [fold] * len(of_fold))
        outputs[places] = combined.outputs
        if combined.spread is not None:
            spread[places] = combined.spread
    is_ensemble = len(plan.members) > len({member.fold for member in plan.members})
    return Combined(outputs, spread if is_ensemble else None)


def _calibrate(labels: Labels, found: Combined) -> Calibration:
    if labels.task == "regression":
        return fit_intervals(labels, found.outputs, found.spread)
    return fit_temperatures(labels, found.outputs)


def _check(labels: Labels, found: Combined, calibration: Calibration, coverage: float) -> dict[str, Any]:
    """Check the calibration on the test set.

    The result holds the share of measured values inside their intervals, or the calibration error of the
    probabilities before and after the calibration.
    """
    if labels.task != "regression":
        tempered = calibration.temper(found.outputs)
        return {
            "n_calibrated": calibration.n,
            "temperatures": list(calibration.temperatures),
            "error_before": calibration_error(labels, found.outputs),
            "error_after": calibration_error(labels, tempered),
            "promise": None if calibration.promise is None else asdict(calibration.promise),
        }
    widths = calibration.half_widths(coverage, _with_spread(found)[1])
    is_finite = bool(np.isfinite(widths).all())
    held = [one.held(coverage) for one in calibration.intervals]
    known = [share for share in held if share is not None]
    return {
        "n_calibrated": calibration.n,
        "coverage": coverage,
        "covered": float(np.average([it.value for it in known], weights=[it.n for it in known]))
        if is_finite and known
        else None,
        "by_target": {
            target: None if share is None else share._asdict()
            for target, share in zip(labels.targets, held, strict=True)
        },
        "mean_width": float(2 * widths.mean()) if is_finite else None,
    }


def _with_spread(found: Combined) -> tuple[Floats, Floats]:
    """Return the outputs and the spread of the ensemble, which is 0 for a single model."""
    return found.outputs, np.zeros_like(found.outputs) if found.spread is None else found.spread


def _find_domain(table: LabelledTable, plan: Plan, held_out: Answer) -> Domain:
    """Return the domain of all training rows, and the distances within it.

    Distances are measured to the training rows of the first member, from the rows that it holds out.
    ``held_out`` has its outputs for these.
    """
    seen = np.unique(np.concatenate([part for it in plan.members for part in (it.train, it.validation)]))
    distances = np.empty(0) if held_out.distances is None else np.sort(held_out.distances)
    return Domain(describe_training([table.units(row) for row in seen]), distances)


def note_findings(run: FinetuneRun, findings: Findings) -> dict[str, int]:
    """Return notices, as whole sentences, on predictions that hardly differ and on missing intervals."""
    found = []
    for name, combined in findings.answers.items():
        found += describe_flat(run.table.labels.take(run.plan.judged[name].rows), combined.outputs, name)
    found += _describe_missing_intervals(findings.calibration, run.info.targets, run.recipe.coverage)
    return dict.fromkeys(found, 1)


def describe_flat(labels: Labels, outputs: Floats, name: str) -> list[str]:
    """Return a sentence for each target of a regression that is predicted nearly the same for every row.

    Args:
        labels: The measured values.
        outputs: The predictions, (rows, targets).
        name: The name of the rows.
    """
    if labels.task != "regression":
        return []
    found = []
    for i, target in enumerate(labels.targets):
        is_known = ~np.isnan(labels.numbers[:, i])
        if not is_known.any():
            continue
        spread = float(outputs[is_known, i].astype(np.float64).std())
        measured = float(labels.numbers[is_known, i].std())
        if spread < LEAST_SPREAD * measured:
            of = f" of {target!r}" if len(labels.targets) > 1 else ""
            found.append(
                f"The predictions{of} are nearly the same for every {name} row (standard deviation "
                f"{_two_digits(spread)}, of the measured values {_two_digits(measured)}): the model learned "
                "almost nothing, even if its rank correlation is high."
            )
    return found


def _describe_missing_intervals(
    calibration: Calibration, targets: Sequence[str], coverage: float
) -> list[str]:
    """Return a sentence for each target without intervals, because too few rows calibrate them."""
    found = []
    for target, intervals in zip(targets, calibration.intervals, strict=False):  # classes have no intervals
        n, n_needed = len(intervals.scores), intervals.n_needed(coverage)
        if n < n_needed:
            of = f" of {target!r}" if len(targets) > 1 else ""
            found.append(
                f"There are no intervals{of} with a coverage of {100 * coverage:.4g}%: too few rows "
                f"calibrate them ({format_count(n, 'row')}, and at least {n_needed:,} are needed)."
            )
    return found


def _two_digits(value: float) -> str:
    """Return two digits of a number, without an exponent unless it is very small."""
    return (
        f"{value:.2g}"
        if 0 < value < 1e-9
        else np.format_float_positional(value, precision=2, fractional=False, trim="-")
    )
