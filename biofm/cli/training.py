"""Training on the command line: what ``pretrain`` and ``finetune`` print, also when they are interrupted."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from biofm_datasets.text import format_count

from biofm.api import Finetune, Pretrain
from biofm.cli.printing import (
    format_estimate,
    print_if_unreliable,
    print_json,
    print_result,
    print_table,
    say,
    say_notices,
    say_remarks,
    say_wrote,
)

if TYPE_CHECKING:
    from biofm.evaluation.supervised import JudgedRow, Judgement
    from biofm.training.finetuning import FinetuneSummary
    from biofm.training.summary import PretrainSummary

NAMES = {
    "spearman": "Spearman", "pearson": "Pearson", "rmse": "RMSE", "mae": "MAE", "r2": "R²",
    "accuracy": "accuracy", "balanced_accuracy": "balanced", "macro_f1": "macro-F1", "mcc": "MCC",
    "auroc": "AUROC", "auprc": "AUPRC",
}  # fmt: skip


def run_or_say_how_to_resume(asked: Pretrain | Finetune) -> Any:
    """Perform a training; if it is interrupted, say how to resume it."""
    from biofm.training.processes import SilentExit  # brings torch

    try:
        return asked.perform()
    except SilentExit:  # this is one of several processes, and another one says why they end
        raise
    except (KeyboardInterrupt, SystemExit) as end:
        has_begun = Path(asked.output).is_dir()
        ended = SystemExit(130) if isinstance(end, KeyboardInterrupt) else end
        if has_begun and ended.code:
            ended.add_note(
                f"Repeat the command with --resume to continue from the state in {Path(asked.output)}"
            )
        raise ended from None


def show_pretrain(asked: Pretrain, summary: "PretrainSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _print_pretraining(summary)


def show_finetune(asked: Finetune, summary: "FinetuneSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _print_finetuning(summary)


def _print_pretraining(summary: "PretrainSummary") -> None:
    from biofm.training.reporting import say_which_perplexity_is_better  # brings torch

    rows = [
        (source, f"{it.n_residues:,}", f"{it.model:.2f}", f"{it.own_composition:.2f}", f"{it.unigram:.2f}")
        for source, it in summary.held_out.items()
    ]
    if rows:
        print_table(rows, header=("held-out perplexity", "residues", "model", "own composition", "unigram"))
    for source, it in summary.held_out.items():
        if sentence := say_which_perplexity_is_better(source, it):
            say(sentence)
    say(f"Computed in {summary.dtype}: {summary.dtype_reason}.")
    removed = f"{summary.n_removed:,} left out for resembling held-out ones"
    say(f"Trained on {format_count(summary.n_train, 'sequence')}, {removed}.")
    say_wrote(f"the model with {format_count(summary.n_parameters, 'parameter')}", summary.model)


def _print_finetuning(summary: "FinetuneSummary") -> None:
    print_result(f"The task is {summary.task}, because {summary.why}.")
    for name, judgement in summary.judged.items():
        _print_judgement(name, judgement, summary)
    for name, reason in summary.not_computed.items():
        print_result(f"{name}: not computed, because {reason}")
    if summary.calibrated and (calibration := _describe_calibration(summary.calibrated)):
        print_result(calibration)
    say_remarks(remark for remark in summary.remarks if remark.is_warning)
    say(f"Computed in {summary.dtype}: {summary.dtype_reason}.")
    say(f"Trained {format_count(len(summary.members), 'member')} from {summary.model}.")
    say_wrote("the predictor", summary.predictor)


def _print_judgement(name: str, judgement: "Judgement", summary: "FinetuneSummary") -> None:
    from biofm.training.finetuning.report import (  # brings torch
        say_if_little_was_learned,
        say_which_predicts_better,
    )

    n = format_count(judgement.n_rows, "row")
    if judgement.n_residues is not None:
        n += f", {format_count(judgement.n_residues, 'residue')}"
    header = (f"{name} ({n})", *(NAMES[measure] for measure in judgement.rows[0].measures))
    print_table([_cells(row, summary.primary) for row in judgement.rows], header=header)
    print_if_unreliable([row.measures[summary.primary] for row in judgement.rows], judgement.n_rows)
    for fitted, names in _by_fitted(judgement).items():
        say(f"Fitted to {fitted}: {', '.join(names)}.")
    if sentence := say_which_predicts_better(judgement, summary.primary):
        print_result(sentence)
    if caution := say_if_little_was_learned(name, judgement):
        print_result(caution)


def _by_fitted(judgement: "Judgement") -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for row in judgement.rows:
        if row.kind == "baseline":
            names.setdefault(row.fitted, []).append(row.name)
    return names


def _cells(row: "JudgedRow", primary: str) -> tuple[str, ...]:
    return row.name, *(
        format_estimate(estimate, with_interval=name == primary) for name, estimate in row.measures.items()
    )


def _describe_calibration(calibrated: dict[str, Any]) -> str:
    """Return a sentence on the calibration; none if there are no intervals, which a notice says."""
    n = format_count(calibrated["n_calibrated"], "row")
    if "coverage" not in calibrated:
        before, after = calibrated["error_before"], calibrated["error_after"]
        return (
            f"The calibration error on the test set is {before:.3f} before and {after:.3f} after temperature "
            f"scaling, which was fitted to {n}."
        )
    if calibrated["covered"] is None:
        return ""
    return (
        f"Intervals that should contain {calibrated['coverage']:.0%} of the measured values contain "
        f"{calibrated['covered']:.1%} of those of the test set; their mean width is "
        f"{calibrated['mean_width']:.3g}, calibrated on {n}."
    )
