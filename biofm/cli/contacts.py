"""``biofm contacts``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from biofm.cli import options
from biofm.cli.options import Dtype, Gaps, OnError
from biofm.cli.printing import print_json, print_table, say, say_notices, spelt_counts

if TYPE_CHECKING:
    from biofm.api.contact_maps import ContactsSummary, StructureSummary

MODEL_HELP = "One with a contact head: an ESM-2 or esm1b. " + options.MODEL_HELP
SUFFIXES_HELP = "The suffix chooses: .npz, a matrix a protein; .parquet .csv, a row a pair."
STRUCTURE_HELP = "A PDB or mmCIF file (also .gz) to compare one protein with."
PROTEIN_HELP = "The id of the protein for --picture and --structure; may be left out where there is one."
SEPARATION_HELP = "Leave nearer pairs along the chain out of tables and pictures."


def contacts(
    input: options.Input,
    output: Annotated[Path, Option("--output", "-o", help=SUFFIXES_HELP)],
    model: Annotated[str, Option("--model", "-m", help=MODEL_HELP)],
    picture: Annotated[Path | None, Option(help="A map of one protein: .png .svg .pdf")] = None,
    structure: Annotated[Path | None, Option(help=STRUCTURE_HELP)] = None,
    chain: Annotated[str | None, Option(help="Of the structure; may be left out where there is one.")] = None,
    protein: Annotated[str | None, Option(help=PROTEIN_HELP)] = None,
    min_separation: Annotated[int, Option(help=SEPARATION_HELP)] = 6,
    threshold: Annotated[float | None, Option(help="Of a table: leave out less probable pairs.")] = None,
    dtype: options.DtypeOption = Dtype.auto,
    device: options.Device = "auto",
    tokens_per_batch: Annotated[int | None, Option(help="The default follows from the device.")] = None,
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
    """Predict which residues of a protein touch, and compare that with a structure."""
    from biofm import api  # brings torch: not before a command runs

    summary = api.contacts(
        input, output, model=model, picture=picture, structure=structure, chain=chain, protein=protein,
        min_separation=min_separation, threshold=threshold, dtype=dtype.value, device=device,
        tokens_per_batch=tokens_per_batch, format=format, column=column, id_column=id_column, gaps=gaps.value,
        modality=modality, on_error=on_error.value, overwrite=overwrite, quiet=quiet,
    )  # fmt: skip
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _print_summary(summary)
    if picture:
        say(f"picture -> {picture}")


def _print_summary(summary: "ContactsSummary") -> None:
    if summary.structure:
        _print_precision(summary.structure)
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")
    say(f"contacts -> {summary.output}")


def _print_precision(found: "StructureSummary") -> None:
    rows: dict[str, list[str]] = {}
    for one in found.precision:
        cell = "-" if one.precision is None else f"{one.precision:.3f}"
        rows.setdefault(one.range, []).append(cell)
    header = ("precision", *dict.fromkeys(one.at for one in found.precision))
    print_table([(name, *cells) for name, cells in rows.items()], header=header)
    say(f"{found.protein} in {found.structure}: {found.n_shown:,} residues, {found.n_contacts:,} contacts")
