"""``biofm perplexity``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from biofm.cli import options
from biofm.cli.options import Dtype, Gaps, OnError
from biofm.cli.printing import place_of, print_json, refuse_two_outputs, say, say_notices, spelt_counts

if TYPE_CHECKING:
    from biofm.inference.scoring.results import PerplexitySummary

METHOD_HELP = "pseudo: each residue masked once; single-pass: all shown in one run, quicker, as a rule lower."


class MethodOption(StrEnum):
    pseudo = "pseudo"
    single_pass = "single-pass"


def perplexity(
    input: options.Input,
    output: Annotated[Path, Option("--output", "-o", help=options.TABLE_HELP)],
    model: options.ModelName = "protein-nano",
    method: Annotated[MethodOption, Option(help=METHOD_HELP)] = MethodOption.pseudo,
    dtype: options.DtypeOption = Dtype.float32,
    device: options.Device = "auto",
    tokens_per_batch: options.TokensPerBatch = None,
    format: options.InputFormat = None,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    gaps: options.AtGaps = Gaps.drop,
    modality: options.As = None,
    on_error: options.AtFault = OnError.stop,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Judge how well a language model expects each protein: its perplexity, 1 at best."""
    from biofm import api  # brings torch: not before a command runs

    refuse_two_outputs(output, json)
    summary = api.perplexity(
        input, output, model=model, method=method.value, dtype=dtype.value,
        device=device, tokens_per_batch=tokens_per_batch, format=format, column=column, id_column=id_column,
        gaps=gaps.value, modality=modality, on_error=on_error.value, overwrite=overwrite, quiet=quiet,
    )  # fmt: skip
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _say_summary(summary)


def _say_summary(summary: "PerplexitySummary") -> None:
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")
    if summary.perplexity is not None:
        say(f"{provenance['method']} perplexity of all {provenance['units']}: {summary.perplexity:.2f}")
    say(f"{summary.n_sequences:,} rows -> {place_of(summary.output)}")
