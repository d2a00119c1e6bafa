"""``biofm pretrain``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from biofm.cli import options
from biofm.cli.estimate import refuse_resume, show_training_estimate
from biofm.cli.options import Dtype, Gaps, OnError
from biofm.cli.printing import print_json, print_table, say, say_notices

if TYPE_CHECKING:
    from biofm.training import PretrainSummary

Objective = StrEnum("Objective", ["masked", "causal"])

INPUT_HELP = "Files of proteins (FASTA, also .gz, CSV, TSV, Parquet), or a folder of `biofm data prepare`."
RECIPE_HELP = "The settings by which biofm trained a model that it ships: protein-nano."
HELD_OUT_HELP = "Proteins of each file kept for judging, with none like them in training."


def pretrain(
    inputs: Annotated[list[Path], Argument(help=INPUT_HELP)],
    output: Annotated[Path, Option("--output", "-o", help="A folder for model, log and checkpoints.")],
    steps: Annotated[
        int | None, Option(help="Optimiser steps; 0 judges --start-from without training.")
    ] = None,
    size: Annotated[str, Option(help="Of a new model: nano, small or medium.")] = "nano",
    start_from: Annotated[str | None, Option(help="Go on from this model. " + options.MODEL_HELP)] = None,
    objective: Annotated[Objective | None, Option(help="Predict hidden residues, or the next.")] = None,
    tokens_per_batch: Annotated[int | None, Option(help="Tokens in a batch of one device.")] = None,
    batches_per_step: Annotated[int | None, Option(help="Batches in a step, over all devices.")] = None,
    max_length: Annotated[
        int | None, Option(help="Longer proteins give a random crop of so many tokens.")
    ] = None,
    masked: Annotated[float | None, Option(help="Share of residues to predict.")] = None,
    learning_rate: Annotated[float | None, Option(help="At its highest.")] = None,
    warmup: Annotated[int | None, Option(help="Steps over which the learning rate rises.")] = None,
    held_out: Annotated[int | None, Option(help=HELD_OUT_HELP)] = None,
    seed: Annotated[int | None, Option(help="Of the split, the weights, the order and the masks.")] = None,
    checkpoint_every: Annotated[int | None, Option(help="Steps between checkpoints.")] = None,
    log_every: Annotated[int | None, Option(help="Steps between rows of metrics.csv.")] = None,
    devices: Annotated[int | None, Option(help="Processes on each machine, a device each.")] = None,
    recipe: Annotated[str | None, Option(help=RECIPE_HELP)] = None,
    config: options.Config = None,
    sets: options.Sets = None,
    dtype: options.DtypeOption = Dtype.auto,
    device: options.Device = "auto",
    column: options.Column = None,
    gaps: options.AtGaps = Gaps.drop,
    modality: options.As = None,
    on_error: options.AtFault = OnError.stop,
    estimate: options.Estimate = False,
    resume: Annotated[bool, Option("--resume", help="Go on with the run interrupted in --output.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a protein language model; judge it on held-out proteins, beside baselines."""
    from biofm import api  # brings torch: not before a command runs
    from biofm.training import PretrainRecipe, Told, find_recipe

    given = {
        "n_steps": steps, "objective": objective and objective.value, "tokens_per_batch": tokens_per_batch,
        "batches_per_step": batches_per_step, "max_length": max_length, "masked_share": masked,
        "learning_rate": learning_rate, "n_warmup": warmup, "n_held_out": held_out, "seed": seed,
        "checkpoint_every": checkpoint_every, "log_every": log_every, "devices": devices,
    }  # fmt: skip
    settings = api.read_configuration(
        "pretrain", PretrainRecipe, config, given, sets or (), start=find_recipe(recipe) if recipe else None,
        resumed=output if resume else None,
    )  # fmt: skip
    how: dict[str, Any] = {
        "size": size, "start_from": start_from, "dtype": dtype.value, "device": device, "column": column,
        "gaps": gaps.value, "modality": modality, "on_error": on_error.value,
    }  # fmt: skip
    if estimate:
        refuse_resume(resume)
        show_training_estimate(api.estimate_pretrain(inputs, settings, **how), as_json=json)
        return
    try:
        summary = api.pretrain(inputs, output, settings, **how, resume=resume, quiet=quiet)
    except Told:  # one of several processes: another one tells why it ends
        raise
    except KeyboardInterrupt:
        say_interrupted(output)
        raise
    except SystemExit as end:
        if end.code:
            say_interrupted(output)
        raise
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _print_summary(summary)


def say_interrupted(output: Path) -> None:
    say(f"biofm: interrupted. Repeat the command with --resume to go on from the state in {output}")


def _print_summary(summary: "PretrainSummary") -> None:
    rows = [
        (source, f"{it.n_residues:,}", f"{it.model:.2f}", f"{it.own_composition:.2f}", f"{it.unigram:.2f}")
        for source, it in summary.held_out.items()
    ]
    if rows:
        print_table(rows, header=("held-out perplexity", "residues", "model", "own composition", "unigram"))
    for source, it in summary.held_out.items():
        baseline = min(it.unigram, it.own_composition)
        if it.model >= baseline:
            say(f"{source}: the model ({it.model:.2f}) is no better than counting residues ({baseline:.2f})")
    say(f"{summary.dtype}: {summary.dtype_reason}")
    say(f"{summary.n_train:,} proteins in training, {summary.n_removed:,} left out as like the held-out ones")
    say(f"{summary.n_parameters:,} parameters -> {summary.model}")
