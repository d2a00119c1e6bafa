"""``biofm predict``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from biofm.cli import options
from biofm.cli.options import Dtype, Gaps, OnError
from biofm.cli.printing import (
    place_of,
    print_json,
    refuse_two_outputs,
    say,
    say_notices,
    say_remarks,
    spelt_counts,
)

if TYPE_CHECKING:
    from biofm.api.prediction import PredictSummary

PREDICTOR_HELP = "The folder of a run of `biofm finetune`, or the folder predictor/ in it."
MODEL_HELP = "Where the model that was fine-tuned lies now, if not where it lay."
GAPS_HELP = options.GAPS_HELP + " The default is what was done in training."
COVERAGE_HELP = "The share of truths that intervals are to hold."
DTYPE_HELP = "The default is that in which the predictor was judged."


def predict(
    input: options.Input,
    predictor: Annotated[Path, Option("--predictor", "-p", help=PREDICTOR_HELP)],
    output: Annotated[Path, Option("--output", "-o", help=options.TABLE_HELP)],
    model: Annotated[str | None, Option("--model", "-m", help=MODEL_HELP)] = None,
    coverage: Annotated[float, Option(help=COVERAGE_HELP)] = 0.9,
    window: Annotated[int | None, Option(help="Run longer sequences by windows of so many residues.")] = None,
    dtype: Annotated[Dtype | None, Option(help=DTYPE_HELP)] = None,
    device: options.Device = "auto",
    tokens_per_batch: options.TokensPerBatch = None,
    format: options.InputFormat = None,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    gaps: Annotated[Gaps | None, Option(help=GAPS_HELP)] = None,
    modality: options.As = None,
    on_error: options.AtFault = OnError.stop,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict with a fine-tuned model: numbers with intervals, classes with probabilities, letters."""
    from biofm import api  # brings torch: not before a command runs

    refuse_two_outputs(output, json)
    summary = api.predict(
        input, output, predictor=predictor, model=model, coverage=coverage, window=window, dtype=dtype,
        device=device, tokens_per_batch=tokens_per_batch, format=format, column=column, id_column=id_column,
        gaps=None if gaps is None else gaps.value, modality=modality,
        on_error=on_error.value, overwrite=overwrite, quiet=quiet,
    )  # fmt: skip
    say_notices(summary.notices)
    say_remarks(remark for remark in summary.remarks if remark.is_warning or not json)
    if json:
        print_json(summary)
    else:
        _say_summary(summary)


def _say_summary(summary: "PredictSummary") -> None:
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")
    say(
        f"{summary.task} of {', '.join(summary.targets)} by {summary.n_members} -> {place_of(summary.output)}"
    )
