"""``biofm finetune``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from biofm.cli import options
from biofm.cli.estimate import refuse_resume, show_finetune_estimate
from biofm.cli.options import Dtype, Gaps, OnError
from biofm.cli.printing import print_json, print_result, print_table, say, say_notices, say_remarks

if TYPE_CHECKING:
    from biofm.evaluation.bootstrap import Estimate
    from biofm.evaluation.supervised import JudgedRow, Judgement, Lead
    from biofm.training.finetuning import FinetuneSummary

Method = StrEnum("Method", ["probe", "lora", "full"])
HeadPool = StrEnum("HeadPool", ["mean", "cls", "max", "attention"])


class TaskOption(StrEnum):
    auto = "auto"
    regression = "regression"
    classification = "classification"
    multi_label = "multi-label"
    per_residue = "per-residue"


TARGET_HELP = "The column to predict; repeat it for several of numbers, or of 0 and 1."
METHOD_HELP = "probe: a head on vectors made once; lora: adapters in the encoder; full: all its weights."
TASK_HELP = "auto: what the target's cells speak for."
SPLIT_HELP = "A column of train, validation and test; without one some sequences are held out at random."
VALIDATION_HELP = "A column that is true in those training rows that validate, as in FLIP."
UNKNOWN_HELP = "Letters that say that nothing is known of a residue."
FOLDS_HELP = "Cross-validation; 0 for none."
SET_HELP = "Any setting of the recipe, as name=value; repeat it for several."

NAMES = {
    "spearman": "Spearman", "pearson": "Pearson", "rmse": "RMSE", "mae": "MAE", "r2": "R²",
    "accuracy": "accuracy", "balanced_accuracy": "balanced", "macro_f1": "macro-F1", "mcc": "MCC",
    "auroc": "AUROC", "auprc": "AUPRC",
}  # fmt: skip


def finetune(
    table: Annotated[Path, Argument(help="CSV, TSV or Parquet, a row a sequence.")],
    target: Annotated[list[str], Option(help=TARGET_HELP)],
    output: Annotated[Path, Option("--output", "-o", help="A folder for predictor, log and judgement.")],
    model: options.ModelName = "protein-nano",
    method: Annotated[Method | None, Option(help=METHOD_HELP)] = None,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    split_column: Annotated[str | None, Option(help=SPLIT_HELP)] = None,
    validation_column: Annotated[str | None, Option(help=VALIDATION_HELP)] = None,
    task: Annotated[TaskOption | None, Option(help=TASK_HELP)] = None,
    gaps: options.AtGaps = Gaps.drop,
    modality: options.As = None,
    unknown_letters: Annotated[str, Option(help=UNKNOWN_HELP)] = "",
    pool: Annotated[HeadPool | None, Option(help="What a head sees of a sequence.")] = None,
    folds: Annotated[int | None, Option(help=FOLDS_HELP)] = None,
    members: Annotated[int | None, Option(help="An ensemble of so many seeds.")] = None,
    lora_rank: Annotated[int | None, Option(help="Of the adapters.")] = None,
    steps: Annotated[int | None, Option(help="Optimiser steps at most.")] = None,
    learning_rate: Annotated[float | None, Option(help="Of the head, at its highest.")] = None,
    tokens_per_batch: Annotated[int | None, Option(help="Tokens in a batch of training.")] = None,
    batches_per_step: Annotated[int | None, Option(help="Batches in a step, over all devices.")] = None,
    max_length: Annotated[int | None, Option(help="In training, longer ones give a random crop.")] = None,
    window: Annotated[int | None, Option(help="Run longer sequences by windows of so many residues.")] = None,
    seed: Annotated[int | None, Option(help="Of all that is drawn.")] = None,
    devices: Annotated[int | None, Option(help="Processes on each machine, a device each.")] = None,
    config: Annotated[Path | None, Option(help="A TOML file of settings, such as a recipe.toml.")] = None,
    set_: Annotated[list[str] | None, Option("--set", help=SET_HELP)] = None,
    dtype: options.DtypeOption = Dtype.auto,
    device: options.Device = "auto",
    on_error: options.AtFault = OnError.stop,
    estimate: options.Estimate = False,
    resume: Annotated[bool, Option("--resume", help="Go on with the run interrupted in --output.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Teach a model a column of a table: a probe, adapters or all weights, judged beside baselines."""
    from biofm import api  # brings torch: not before a command runs
    from biofm.training import Told

    given: dict[str, Any] = {
        "method": method and method.value, "task": task and task.value, "pool": pool and pool.value,
        "n_folds": folds, "n_members": members, "lora_rank": lora_rank, "n_steps": steps,
        "learning_rate": learning_rate, "tokens_per_batch": tokens_per_batch,
        "batches_per_step": batches_per_step, "max_length": max_length, "window": window, "seed": seed,
        "devices": devices,
    }  # fmt: skip
    how: dict[str, Any] = {
        "target": target, "config": config, "sets": set_ or (), "model": model, "column": column,
        "id_column": id_column, "split_column": split_column, "validation_column": validation_column,
        "unknown_letters": unknown_letters, "gaps": gaps.value, "modality": modality,
        "dtype": dtype.value, "device": device, "on_error": on_error.value,
    }  # fmt: skip
    if estimate:
        refuse_resume(resume)
        show_finetune_estimate(api.estimate_finetune(table, **how, **given), as_json=json)
        return
    try:
        summary = api.finetune(table, output, **how, **given, resume=resume, quiet=quiet)
    except Told:  # one of several processes: another one tells why it ends
        raise
    except (KeyboardInterrupt, SystemExit):  # by a signal
        say(f"biofm: interrupted. Repeat the command with --resume to go on from the state in {output}")
        raise
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: "FinetuneSummary") -> None:
    print_result(f"{summary.task}, because {summary.why}")
    for name, judgement in summary.judged.items():
        _print_judgement(name, judgement, summary)
    for name, reason in summary.not_computed.items():
        print_result(f"{name}: not computed, because {reason}")
    if summary.calibrated:
        print_result(_describe_calibration(summary.calibrated))
    say_remarks(remark for remark in summary.remarks if remark.is_warning)
    say(f"{summary.dtype}: {summary.dtype_reason}")
    say(f"{len(summary.members)} trained from {summary.model} -> {summary.predictor}")


def _print_judgement(name: str, judgement: "Judgement", summary: "FinetuneSummary") -> None:
    n = f"{judgement.n_rows:,} rows"
    if judgement.n_residues is not None:
        n += f", {judgement.n_residues:,} residues"
    header = (f"{name} ({n})", *(NAMES[measure] for measure in judgement.rows[0].measures))
    print_table([_cells(row, summary.primary) for row in judgement.rows], header=header)
    for fitted, names in _by_fitted(judgement).items():
        say(f"fitted to {fitted}: {', '.join(names)}")
    best = min(judgement.leads, key=_lead_of, default=None)
    if best is not None and _lead_of(best) < 0:
        print_result(_describe_lead(best, summary.method))


def _by_fitted(judgement: "Judgement") -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for row in judgement.rows:
        if row.kind == "baseline":
            names.setdefault(row.fitted, []).append(row.name)
    return names


def _cells(row: "JudgedRow", primary: str) -> tuple[str, ...]:
    return row.name, *(
        _spell(estimate, with_interval=name == primary) for name, estimate in row.measures.items()
    )


def _spell(estimate: "Estimate", *, with_interval: bool) -> str:
    if estimate.value is None:
        return "-"
    text = f"{estimate.value:.3f}"
    if with_interval and estimate.low is not None:
        text += f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return text


def _lead_of(lead: "Lead") -> float:
    return lead.difference.value or 0.0


def _describe_lead(lead: "Lead", method: str) -> str:
    values = f"{lead.baseline_value:.3f} against {lead.model_value:.3f}"
    low, high = lead.difference.low, lead.difference.high
    doubt = ""
    if high is not None and high >= 0:
        doubt = f", though the difference may be none [{low:.3f}, {high:.3f}]"
    return f"{lead.baseline} beats the model ({method}) by {NAMES[lead.measure]}: {values}{doubt}"


def _describe_calibration(calibrated: dict[str, Any]) -> str:
    n = f"{calibrated['n_calibrated']:,}"
    if "coverage" not in calibrated:
        before, after = calibrated["error_before"], calibrated["error_after"]
        return f"calibration error on test: {before:.3f} before and {after:.3f} after tempering by {n}"
    wanted = f"{calibrated['coverage']:.0%}"
    if calibrated["covered"] is None:
        return f"{n} rows calibrate, too few for intervals that hold {wanted}"
    return (
        f"intervals that are to hold {wanted} hold {calibrated['covered']:.1%} of the test set; "
        f"mean width {calibrated['mean_width']:.3g}, calibrated by {n} rows"
    )
