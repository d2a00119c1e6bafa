"""``biofm merge``."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from biofm.cli import options
from biofm.cli.embed import SUFFIXES_HELP
from biofm.cli.printing import print_json, say, say_notices


def merge(
    shards: Annotated[list[Path], Argument(help="What `biofm embed --shard` left, in any order.")],
    output: Annotated[Path, Option("--output", "-o", help=SUFFIXES_HELP)],
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the shards of a run as one table, in the order of its input; the shards stay."""
    from biofm import api  # brings torch: not before a command runs

    summary = api.merge(shards, output, overwrite=overwrite, quiet=quiet)
    say_notices(summary.notices)
    if json:
        print_json(summary)
    else:
        say(f"{summary.n_sequences:,} proteins, {summary.n_unique:,} sequences, {summary.n_shards} shards")
        say(f"{summary.n_rows:,} x {summary.n_dimensions} -> {summary.output}")
        say("The shards are left as they are; they are no longer needed")
