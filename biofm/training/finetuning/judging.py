"""From the answers of all members to one predictor's: combined, calibrated, judged beside the baselines."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from biofm_datasets.arrays import Floats
from numpy.typing import NDArray

from biofm.core.progress import RunProgress
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
from biofm.inference.prediction import Combined, Domain, combine
from biofm.training.finetuning.domain import find_domain
from biofm.training.finetuning.members import Answers
from biofm.training.finetuning.plan import OUT_OF_FOLD, TEST_ROWS, JudgedSet, Plan
from biofm.training.recipe import FinetuneRecipe


class Findings(NamedTuple):
    """``answers``: by the name of a judged set, what the predictor says of its rows. ``calibrated``: how well
    its intervals or probabilities did on the test set; empty without one. ``distances``: of the test rows to
    those of training, None without them. ``missing``: baselines, and why.
    """

    answers: dict[str, Combined]
    judgements: dict[str, Judgement]
    calibration: Calibration
    calibrated: dict[str, Any]
    domain: Domain
    distances: NDArray[np.float64] | None
    missing: dict[str, str]


def judge_members(
    table: LabelledTable,
    plan: Plan,
    answers: Sequence[Answers],
    recipe: FinetuneRecipe,
    progress: RunProgress,
) -> Findings:
    """Judge what all members say together."""
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
        judgements[name], lacking = _judge_set(table, plan.judged[name], shown, recipe, progress)
        missing |= lacking
    calibrated = {}
    if len(plan.test):
        truth = table.labels.take(plan.test)
        calibration = calibration.tested_on(truth, *_with_spread(found[TEST_ROWS]))
        calibrated = _check(truth, found[TEST_ROWS], calibration, recipe.coverage)
    domain, distances = find_domain(table, plan, answers[0].held_out), answers[0].test.distances
    return Findings(found, judgements, calibration, calibrated, domain, distances, missing)


def _judge_set(
    table: LabelledTable, judged: JudgedSet, shown: Floats, recipe: FinetuneRecipe, progress: RunProgress
) -> tuple[Judgement, dict[str, str]]:
    """A set judged by what its files hold, and the baselines that it lacks."""
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
    """Each calibrating row by the members that have not seen it: those of its fold, or all."""
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
    """On the test set: the share of truths inside their intervals, or the calibration error before and
    after.
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
    """The outputs, and the spread, which of a single model is none."""
    return found.outputs, np.zeros_like(found.outputs) if found.spread is None else found.spread
