"""A fine-tuning run in a folder: it plans and trains the members, evaluates them and writes the results."""

import json
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import torch

from biofm.core.configuration import option_of
from biofm.core.errors import OptionError
from biofm.core.progress import RunProgress
from biofm.evaluation.supervised import LabelledTable, LabelOptions
from biofm.inference import Compute, Embedder, EmbedOptions, place
from biofm.inference.prediction import MemberInfo, PredictorInfo, embedder_pool
from biofm.models import Checkpoint
from biofm.training.finetuning.findings import Findings, judge_members
from biofm.training.finetuning.gradient import check_peft
from biofm.training.finetuning.members import (
    REPORT_FILE,
    FinetuneRun,
    read_answers,
    train_by_gradients,
    train_probes,
)
from biofm.training.finetuning.plan import Plan, make_plan
from biofm.training.finetuning.report import report_of_finetuning
from biofm.training.finetuning.results import (
    FinetuneSummary,
    summarise,
    write_evaluation,
    write_judged_predictions,
    write_predictor,
)
from biofm.training.finetuning.vectors import records_of, token_store
from biofm.training.folder import (
    EVALUATION,
    FREE,
    HAD_ENDED,
    RUN,
    read_json,
    refuse_other_files,
    refuse_other_run,
    write_json,
    write_recipe,
)
from biofm.training.processes import check_devices, find_processes, rendezvous
from biofm.training.recipe import FinetuneRecipe
from biofm.training.reporting import write_run_report

HARMLESS = {*FREE, "n_resamples", "coverage"} - {"n_steps"}
"""Settings that a resumed run may change, because no weight depends on them."""

CALLED = {
    ("table", "sha256"): "the table",
    ("table", "targets"): "--target",
    ("table", "modality"): "--as",
    ("model", "sha256"): "the model (--model)",
}
"""What the user calls the values of ``run.json`` that are not named as their options are."""


class Base(NamedTuple):
    """Holds the model that is fine-tuned.

    Attributes:
        checkpoint: The model with its tokenizer.
        name: Its name.
        sha256: The SHA-256 of its weights.
    """

    checkpoint: Checkpoint
    name: str
    sha256: str


class Source(NamedTuple):
    """Holds the table from which the model learns.

    Attributes:
        table: The sequences and their targets.
        options: How the table was read.
        sha256: The SHA-256 of its file.
    """

    table: LabelledTable
    options: LabelOptions
    sha256: str


def run_finetuning(
    source: Source,
    base: Base,
    recipe: FinetuneRecipe,
    compute: Compute,
    folder: Path,
    notices: Counter[str],
    progress: RunProgress,
) -> FinetuneSummary | None:
    """Train ``base`` on the table and write everything into ``folder``.

    Of several processes, only the first one evaluates, writes and returns the summary; the others return
    None. The folder gets:

    - ``recipe.toml`` and ``run.json``, the settings of the run,
    - ``members/``, each member's log and outputs, and its checkpoints while it trains,
    - ``predictor/``, the result for ``biofm predict``,
    - ``predictions.csv``, the predictions of all judged rows,
    - ``evaluation.json``, the comparison of these with baselines,
    - ``report.html``, which shows all of this.

    If the folder holds an unfinished run of the same recipe and table, that run is resumed: finished members
    stay, and the interrupted one continues.

    Args:
        source: The table.
        base: The model.
        recipe: The settings of the run.
        compute: The device and the number format.
        folder: The folder of the run.
        notices: Counts what was changed or left out.
        progress: Called with the stage and the progress within it.

    Raises:
        OutputError: The folder holds another run.
        InputError: The table has too few rows or nothing to learn, or a sequence is too long for the model.
        OptionError: A setting does not fit the model.
        MissingExtraError: The method is LoRA, and peft is not installed.
    """
    table = source.table
    crew = rendezvous(recipe)
    with crew.main_first():
        plan = make_plan(table, recipe, notices)
        embedder = make_embedder(source, base, recipe, compute)
        check_choices(recipe, embedder, compute)
        store = token_store(embedder.tokenise(records_of(table), notices))
        if crew.is_main:
            _remember(source, base, recipe, compute, folder)
    info = _info(source, base, recipe, compute, plan)
    run = FinetuneRun(table, base.checkpoint, info, plan, recipe, compute, embedder.options, folder, progress)
    had_ended = (folder / EVALUATION).exists() and all(
        (run.work(member.name) / REPORT_FILE).exists() for member in plan.members
    )
    if recipe.method == "probe":
        crew.in_main(lambda: train_probes(run, embedder))
    else:
        train_by_gradients(run, store)
    summary = crew.in_main(lambda: _conclude(run, notices))
    return replace(summary, notices={**summary.notices, HAD_ENDED: 1}) if summary and had_ended else summary


def _conclude(run: FinetuneRun, notices: Counter[str]) -> FinetuneSummary:
    """Evaluate the members, and write the predictor, the predictions, the evaluation and the report."""
    answers = {member.name: read_answers(run, member) for member in run.plan.members}
    findings = judge_members(run, [*answers.values()])
    write_predictor(run, findings)
    write_judged_predictions(run, findings)
    summary = summarise(run, findings, {name: it.report for name, it in answers.items()}, notices)
    write_evaluation(run.folder, summary)
    _report(run, findings, summary)
    return summary


def _report(run: FinetuneRun, findings: Findings, summary: FinetuneSummary) -> None:
    write_run_report(report_of_finetuning(run, findings, summary), run.folder)


def make_embedder(source: Source, base: Base, recipe: FinetuneRecipe, compute: Compute) -> Embedder:
    """Make an embedder of the base model.

    For a probe, the encoder is moved to the device. For other methods it stays where it is, because the
    embedder only tokenises.
    """
    task, encoder = source.table.labels.task, base.checkpoint.module.encoder
    options = EmbedOptions(pool=embedder_pool(task, recipe.pool), window=recipe.window or None)
    if recipe.method == "probe":
        encoder = place(encoder, compute)
    return Embedder(encoder, base.checkpoint.tokenizer, compute, options)


def check_choices(recipe: FinetuneRecipe, embedder: Embedder, compute: Compute) -> None:
    """Raise OptionError if the choices do not fit each other, MissingExtraError for LoRA without peft."""
    if recipe.method == "probe":
        return
    check_devices(compute, find_processes(recipe))
    if recipe.method == "lora":
        check_peft()
    if compute.dtype is torch.float16:
        what = "float16 gradients vanish without loss scaling, which biofm does not do"
        raise OptionError(what, where="--dtype", remedy="Give bfloat16 or float32")
    longest = embedder.config.max_length
    if longest is not None and recipe.max_length > longest:
        what = f"{recipe.max_length} tokens are more than the model has learned positions for"
        raise OptionError(what, where="--max-length", remedy=f"Give at most {longest}")


def _info(source: Source, base: Base, recipe: FinetuneRecipe, compute: Compute, plan: Plan) -> PredictorInfo:
    labels = source.table.labels
    return PredictorInfo(
        task=labels.task,
        targets=labels.targets,
        classes=labels.classes,
        method=recipe.method,
        pool=recipe.pool,
        window=recipe.window,
        model=base.name,
        sha256=base.sha256,
        dtype=compute.dtype_name,
        members=tuple(MemberInfo(name=member.name, fold=member.fold) for member in plan.members),
        is_merged=recipe.merge_adapters,
        gaps=source.options.gaps,
        modality=base.checkpoint.tokenizer.modality.name,
        alphabet_sha256=base.checkpoint.tokenizer.alphabet.sha256,
    )


def _remember(source: Source, base: Base, recipe: FinetuneRecipe, compute: Compute, folder: Path) -> None:
    """Write the recipe, and what decides the results into ``run.json``.

    Raises:
        OutputError: The folder holds another run, or files that belong to no run.
    """
    decides = {name: value for name, value in asdict(recipe).items() if name not in HARMLESS}
    now = {
        "recipe": decides,
        "table": {"sha256": source.sha256, **asdict(source.options)},
        "model": {"sha256": base.sha256, "dtype": compute.dtype_name},
    }
    now = json.loads(json.dumps(now))  # as the file will be read: JSON turns tuples into lists
    file = folder / RUN
    if file.exists():
        before = read_json(file)
        differing = [
            _option_of(part, name)
            for part, values in now.items()
            for name, value in values.items()
            if not isinstance(before.get(part), dict) or before[part].get(name) != value
        ]
        refuse_other_run([*dict.fromkeys(differing)], folder, "table")
    else:
        refuse_other_files(folder)
    write_recipe(folder, recipe)
    write_json(file, now)


def _option_of(part: str, name: str) -> str:
    """Return what the user calls a value of ``run.json``, which lies in this part of it."""
    if part == "recipe":
        return option_of(FinetuneRecipe, name)
    return CALLED.get((part, name), f"--{name.replace('_', '-')}")
