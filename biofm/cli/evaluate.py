"""``biofm evaluate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from biofm.cli import options
from biofm.cli.options import OnError
from biofm.cli.printing import print_json, print_result, print_table, say, say_notices

if TYPE_CHECKING:
    from biofm.evaluation import Comparison, Evaluation, Row

SCORE_HELP = "A column of scores, higher for higher measurements; repeat it for several."
VARIANT_HELP = "The column of variants: A24G, A24G:T30P or p.Ala24Gly."
MUTATED_HELP = "A column of whole sequences."
WILD_TYPE_HELP = "A FASTA file of the wild type, where the variants do not tell enough of it."
BINARY_HELP = "A column of 0 and 1: what is positive for AUROC and MCC."
THRESHOLD_HELP = "Measurements at or above it are positive; else those at or above the median."
SPLIT_HELP = "A column of train and test: the ridge learns from the one, all is judged on the other."
MEAN_HELP = "Judge the mean of the scores' ranks beside them."
PICTURE_HELP = "Scores against measurements: .png .svg .pdf"


def evaluate(
    table: Annotated[Path, Argument(help="CSV, TSV or Parquet, a row a variant.")],
    measured_column: Annotated[str, Option(help="The column of measurements, higher is better.")],
    score_column: Annotated[list[str] | None, Option(help=SCORE_HELP)] = None,
    variant_column: Annotated[str | None, Option(help=VARIANT_HELP)] = None,
    mutated_column: Annotated[str | None, Option(help=MUTATED_HELP)] = None,
    wild_type: Annotated[Path | None, Option(help=WILD_TYPE_HELP)] = None,
    binary_column: Annotated[str | None, Option(help=BINARY_HELP)] = None,
    threshold: Annotated[float | None, Option(help=THRESHOLD_HELP)] = None,
    split_column: Annotated[str | None, Option(help=SPLIT_HELP)] = None,
    mean_rank: Annotated[bool, Option("--mean-rank", help=MEAN_HELP)] = False,
    resamples: Annotated[int, Option(help="For the 95 % intervals; 0 for none.")] = 1000,
    seed: Annotated[int, Option(help="Of the resamples and the folds.")] = 0,
    output: Annotated[Path | None, Option("--output", "-o", help="The result as .json")] = None,
    picture: Annotated[Path | None, Option(help=PICTURE_HELP)] = None,
    on_error: options.AtFault = OnError.stop,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Judge scores against measurements: Spearman, AUROC, NDCG and MCC, beside baselines."""
    from biofm import api  # brings torch: not before a command runs

    found = api.evaluate(
        table, measured_column=measured_column, score_column=score_column or (),
        variant_column=variant_column, mutated_column=mutated_column, wild_type=wild_type,
        binary_column=binary_column, threshold=threshold, split_column=split_column, mean_rank=mean_rank,
        n_resamples=resamples, seed=seed, output=output, picture=picture, on_error=on_error.value,
        overwrite=overwrite, quiet=quiet,
    )  # fmt: skip
    say_notices(found.notices)
    if json:
        print_json(found)
    else:
        _print_evaluation(found)
    _say_comparisons(found)
    for path in filter(None, (output, picture)):
        say(f"-> {path}")


def _print_evaluation(found: "Evaluation") -> None:
    print_result(
        f"{found.n_rows:,} measurements; positive for AUROC and MCC: {found.positive} ({found.n_positive:,})"
    )
    header = (found.measured, "Spearman", "AUROC", "NDCG", "MCC", "n")
    print_table([_cells(row) for row in found.rows], header=header)
    for name, reason in found.not_computed.items():
        print_result(f"{name}: not computed, because {reason}")


def _cells(row: "Row") -> tuple[str, ...]:
    spearman = _spell(row.spearman.value)
    if row.spearman.low is not None:
        spearman += f" [{_spell(row.spearman.low)}, {_spell(row.spearman.high)}]"
    others = (_spell(measure.value) for measure in (row.auroc, row.ndcg, row.mcc))
    return row.name, spearman, *others, f"{row.n:,}"


def _spell(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _say_comparisons(found: "Evaluation") -> None:
    for row in found.rows:
        if row.fitted:
            say(f"{row.name} has seen measurements of this assay: {row.fitted}")
    for it in found.comparisons:
        if it.baseline_spearman > it.score_spearman:
            say(_describe(it))
    if len({row.n for row in found.rows}) > 1:
        say("Where n differs, so do the rows; a score and a baseline are compared on those that have both")


def _describe(it: "Comparison") -> str:
    ranks = f"{_spell(it.baseline_spearman)} against {_spell(it.score_spearman)}"
    low, high = it.difference.low, it.difference.high
    sure = (
        "" if high is None or high < 0 else f", though the difference may be none [{_spell(low)}, {high:.3f}]"
    )
    return f"{it.baseline} beats {it.score} by Spearman: {ranks} on {it.n:,} rows{sure}"
