"""``biofm score``."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from biofm.cli import options
from biofm.cli.estimate import show_score_estimate
from biofm.cli.options import Dtype, OnError
from biofm.cli.printing import place_of, print_json, refuse_two_outputs, say, say_notices

if TYPE_CHECKING:
    from biofm.inference.scoring.results import ScoreMergeSummary, ScoreSummary

VARIANTS_HELP = "A table of variants: CSV (also .gz), TSV or Parquet; - is standard input."
WILD_TYPE_HELP = "The wild type, or several: FASTA (also .gz), CSV, TSV or Parquet."
SINGLES_HELP = "Score every substitution of the wild types instead of a table."
MODEL_HELP = "Given several times: a column each, and their mean. " + options.MODEL_HELP
METHOD_HELP = "Of substitutions; insertions and deletions are always scored by pseudo-perplexity."
OFFSET_HELP = "What the variants' numbering adds: 23 where H24 is the first residue of the wild type."
VARIANT_HELP = "The column of variants (A24G, p.Ala24Gly); else mutant, variant, mutation or hgvs_pro."
MUTATED_HELP = "A column of whole sequences instead; else mutated_sequence."
PROTEIN_HELP = "The column that names each row's wild type among several."
AT_FAULT_HELP = "At a faulty row: stop, or leave its score empty and go on; the column reason says why."
SEQUENCE_HELP = "The column of wild types: of VARIANTS, or of --wild-type where that is a table."


class MethodOption(StrEnum):
    masked_marginals = "masked-marginals"
    wt_marginals = "wt-marginals"
    pseudo_perplexity = "pseudo-perplexity"


def score(
    variants: Annotated[Path | None, Argument(help=VARIANTS_HELP)] = None,
    *,
    output: Annotated[Path, Option("--output", "-o", help=options.TABLE_HELP)],
    wild_type: Annotated[Path | None, Option("--wild-type", "-w", help=WILD_TYPE_HELP)] = None,
    all_singles: Annotated[bool, Option("--all-singles", help=SINGLES_HELP)] = False,
    model: Annotated[list[str], Option("--model", "-m", help=MODEL_HELP)] = ["protein-nano"],  # noqa: B006
    method: Annotated[MethodOption, Option(help=METHOD_HELP)] = MethodOption.masked_marginals,
    offset: Annotated[int, Option(help=OFFSET_HELP)] = 0,
    format: options.InputFormat = None,
    modality: options.As = None,
    variant_column: Annotated[str | None, Option(help=VARIANT_HELP)] = None,
    mutated_column: Annotated[str | None, Option(help=MUTATED_HELP)] = None,
    protein_column: Annotated[str | None, Option(help=PROTEIN_HELP)] = None,
    sequence_column: Annotated[str | None, Option(help=SEQUENCE_HELP)] = None,
    picture: Annotated[Path | None, Option(help="With --all-singles: a heat map, .svg .png .pdf")] = None,
    dtype: options.DtypeOption = Dtype.float32,
    device: options.Device = "auto",
    tokens_per_batch: options.TokensPerBatch = None,
    on_error: Annotated[OnError, Option("--on-error", help=AT_FAULT_HELP)] = OnError.stop,
    shard: options.Shard = None,
    estimate: options.Estimate = False,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Score variants of proteins with a language model: natural logarithms, the wild type is 0, higher is
    what the model expects more.
    """
    from biofm import api  # brings torch: not before a command runs

    how: dict[str, Any] = {
        "wild_type": wild_type, "all_singles": all_singles, "models": model, "method": method.value,
        "offset": offset, "format": format, "modality": modality, "variant_column": variant_column,
        "mutated_column": mutated_column, "protein_column": protein_column,
        "sequence_column": sequence_column, "dtype": dtype.value, "device": device,
        "tokens_per_batch": tokens_per_batch, "on_error": on_error.value, "shard": shard,
    }  # fmt: skip
    refuse_two_outputs(output, json and not estimate)
    if estimate:
        show_score_estimate(api.estimate_score(variants, **how), output, as_json=json)
        return
    summary = api.score(
        variants, output, **how, picture=picture, resume=resume, overwrite=overwrite, quiet=quiet
    )
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _say_summary(summary, picture)


def spelt_scores(summary: "ScoreSummary | ScoreMergeSummary") -> str:
    """Such as ``12 scores, 3 rows without``."""
    without = f", {summary.n_unscored:,} rows without" if summary.n_unscored else ""
    return f"{summary.n_variants - summary.n_unscored:,} scores{without}"


def _say_summary(summary: "ScoreSummary", picture: Path | None) -> None:
    provenance, speed = summary.provenance, summary.variants_per_second
    decimals = 0 if speed >= 10 else 2  # a long deletion takes seconds
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    say(f"{summary.n_variants:,} variants, {summary.n_tokens:,} tokens, {speed:,.{decimals}f} variants/s")
    say(f"{spelt_scores(summary)} -> {place_of(summary.output)}")
    if picture:
        say(f"picture -> {picture}")
