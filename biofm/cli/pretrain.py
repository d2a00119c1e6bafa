"""``biofm pretrain``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from biofm.cli import options
from biofm.cli.options import Dtype, OnError
from biofm.cli.printing import print_json, print_table, say, say_notices

if TYPE_CHECKING:
    from biofm.training import PretrainSummary

HELD_OUT_HELP = "Proteins of each input kept for judging, with none like them in training."


def pretrain(
    inputs: Annotated[list[Path], Argument(help="Files of proteins: FASTA (also .gz), CSV, TSV, Parquet.")],
    output: Annotated[Path, Option("--output", "-o", help="A folder for model, log and checkpoints.")],
    steps: Annotated[int, Option(help="Optimiser steps; 0 judges --start-from without training.")],
    size: Annotated[str, Option(help="Of a new model: nano, small or medium.")] = "nano",
    start_from: Annotated[str | None, Option(help="Go on from this model. " + options.MODEL_HELP)] = None,
    tokens_per_batch: Annotated[int, Option(help="Tokens in a step.")] = 4096,
    max_length: Annotated[int, Option(help="Longer proteins give a random crop of so many tokens.")] = 512,
    masked: Annotated[float, Option(help="Share of residues to predict.")] = 0.25,
    learning_rate: Annotated[float, Option(help="At its highest.")] = 4e-3,
    warmup: Annotated[int, Option(help="Steps over which the learning rate rises.")] = 100,
    held_out: Annotated[int, Option(help=HELD_OUT_HELP)] = 500,
    seed: Annotated[int, Option(help="Of the split, the weights, the order and the masks.")] = 0,
    checkpoint_every: Annotated[int, Option(help="Steps between checkpoints.")] = 100,
    log_every: Annotated[int, Option(help="Steps between rows of metrics.csv.")] = 10,
    dtype: options.DtypeOption = Dtype.auto,
    device: options.Device = "auto",
    column: options.Column = None,
    on_error: options.AtFault = OnError.stop,
    resume: Annotated[bool, Option("--resume", help="Go on with the run interrupted in --output.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a protein language model on masked residues; judge it on held-out proteins, beside baselines."""
    from biofm import api  # brings torch and lightning: not before a command runs
    from biofm.training import PretrainRecipe

    recipe = PretrainRecipe(
        n_steps=steps, tokens_per_batch=tokens_per_batch, max_length=max_length, masked_share=masked,
        learning_rate=learning_rate, n_warmup=warmup, n_held_out=held_out, seed=seed,
        checkpoint_every=checkpoint_every, log_every=log_every,
    )  # fmt: skip
    try:
        summary = api.pretrain(
            inputs, output, recipe, size=size, start_from=start_from, dtype=dtype.value, device=device,
            column=column, on_error=on_error.value, resume=resume, quiet=quiet,
        )  # fmt: skip
    except (KeyboardInterrupt, SystemExit):  # Ctrl-C and SIGTERM
        say(f"biofm: interrupted. Repeat the command with --resume to go on from the state in {output}")
        raise
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _print_summary(summary)


def _print_summary(summary: "PretrainSummary") -> None:
    rows = [
        (source, f"{it.n_residues:,}", f"{it.model:.2f}", f"{it.own_composition:.2f}", f"{it.unigram:.2f}")
        for source, it in summary.held_out.items()
    ]
    if rows:
        print_table(rows, header=("held-out perplexity", "residues", "model", "own composition", "unigram"))
    say(f"{summary.dtype}: {summary.dtype_reason}")
    say(f"{summary.n_train:,} proteins in training, {summary.n_removed:,} left out as like the held-out ones")
    say(f"{summary.n_parameters:,} parameters -> {summary.model}")
