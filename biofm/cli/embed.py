"""``biofm embed`` and ``biofm neighbours``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from biofm.cli import options
from biofm.cli.estimate import show_estimate
from biofm.cli.options import Dtype, Gaps, OnError, Pool
from biofm.cli.printing import print_json, print_table, say, say_notices, spelt_counts

if TYPE_CHECKING:
    from biofm.inference.results import EmbedSummary

SUFFIXES_HELP = "The suffix chooses: .h5ad .parquet .npz .safetensors .csv"
POOL_HELP = "Over residues, special tokens left out; none writes a row a residue."
LAYER_HELP = "0: the token embeddings; -1: the last layer with the final norm."
WINDOW_HELP = "Embed longer proteins by windows of so many residues, overlapping by half."


def embed(
    input: options.Input,
    output: Annotated[Path, Option("--output", "-o", help=SUFFIXES_HELP)],
    model: options.ModelName = "protein-nano",
    pool: Annotated[Pool, Option(help=POOL_HELP)] = Pool.mean,
    layer: Annotated[int, Option(help=LAYER_HELP)] = -1,
    window: Annotated[int | None, Option(help=WINDOW_HELP)] = None,
    dtype: options.DtypeOption = Dtype.auto,
    device: options.Device = "auto",
    tokens_per_batch: options.TokensPerBatch = None,
    format: options.InputFormat = None,
    column: options.Column = None,
    id_column: options.IdColumn = None,
    gaps: options.AtGaps = Gaps.drop,
    modality: options.As = None,
    on_error: options.AtFault = OnError.stop,
    shard: options.Shard = None,
    estimate: options.Estimate = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Embed proteins with a language model, one row a protein or a residue, in the input's order."""
    from biofm import api  # brings torch: not before a command runs

    how: dict[str, Any] = {
        "model": model, "pool": pool.value, "layer": layer, "window": window, "dtype": dtype.value,
        "device": device, "tokens_per_batch": tokens_per_batch, "format": format, "column": column,
        "id_column": id_column, "gaps": gaps.value, "modality": modality,
        "on_error": on_error.value, "shard": shard,
    }  # fmt: skip
    if estimate:
        show_estimate(api.estimate_embed(input, output, **how), output, as_json=json)
        return
    summary = api.embed(input, output, **how, resume=resume, overwrite=overwrite, quiet=quiet)
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _say_summary(summary)


def neighbours(
    embeddings: Annotated[Path, Argument(help="An .h5ad with a row a protein, from `biofm embed`.")],
    output: Annotated[
        Path | None, Option("--output", "-o", help="A picture: .png .svg .pdf; of at most 1,000 proteins.")
    ] = None,
    top: Annotated[int, Option(min=1, max=100, help="How many neighbours to print for each protein.")] = 1,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Print which embedded proteins are most alike: cosine similarity, the mean of all proteins removed."""
    from biofm import api  # brings torch: not before a command runs

    found = api.neighbours(embeddings, top=top, picture=output, overwrite=overwrite, quiet=quiet)
    say_notices(found.notices)
    pairs = [(id_, *near) for row, id_ in enumerate(found.ids) for near in found.of(row)]
    if json:
        print_json([{"protein": id_, "nearest": other, "cosine": cosine} for id_, other, cosine in pairs])
    else:
        rows = [(id_, other, f"{cosine:.3f}") for id_, other, cosine in pairs]
        print_table(rows, header=("protein", "nearest", "cosine"))
    if output:
        say(f"picture -> {output}")


def _say_summary(summary: "EmbedSummary") -> None:
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")
    say(f"{summary.n_rows:,} x {summary.n_dimensions} -> {summary.output}")
