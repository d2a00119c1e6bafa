"""``biofm merge``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from biofm.cli import options
from biofm.cli.printing import place_of, print_json, refuse_two_outputs, say, say_notices
from biofm.cli.score import spelt_scores

if TYPE_CHECKING:
    from biofm.inference.results import MergeSummary
    from biofm.inference.scoring.results import ScoreMergeSummary

SHARDS_HELP = "What `biofm embed` or `biofm score` with --shard left, in any order."
SUFFIXES_HELP = "The suffix chooses, as for the verb itself; - is standard output, for scores as CSV."


def merge(
    shards: Annotated[list[Path], Argument(help=SHARDS_HELP)],
    output: Annotated[Path, Option("--output", "-o", help=SUFFIXES_HELP)],
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the shards of a run as one table, in the order of its input; the shards stay."""
    from biofm import api  # brings torch: not before a command runs

    refuse_two_outputs(output, json)
    summary = api.merge(shards, output, overwrite=overwrite, quiet=quiet)
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        _say_summary(summary)


def _say_summary(summary: "MergeSummary | ScoreMergeSummary") -> None:
    from biofm.inference.results import MergeSummary  # brings numpy: not before a command runs

    if isinstance(summary, MergeSummary):
        items = summary.provenance.get("items", "proteins")  # an earlier biofm left it out
        say(f"{summary.n_sequences:,} {items}, {summary.n_unique:,} sequences, {summary.n_shards} shards")
        say(f"{summary.n_rows:,} x {summary.n_dimensions} -> {summary.output}")
    else:
        what = f"{spelt_scores(summary)}, {summary.n_shards} shards"
        say(f"{what} -> {place_of(summary.output)}")
    say("The shards are left as they are; they are no longer needed")
