"""What ``biofm merge`` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

from biofm.api import Merge
from biofm.cli.printing import place_of, print_json, refuse_two_outputs, say, say_notices
from biofm.cli.score import spelt_scores

if TYPE_CHECKING:
    from biofm.inference import MergeSummary
    from biofm.inference.scoring import ScoreMergeSummary


def check(asked: Merge, as_json: bool) -> None:
    refuse_two_outputs(Path(asked.output), as_json)


def show(asked: Merge, summary: "MergeSummary | ScoreMergeSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _say_summary(summary)


def _say_summary(summary: "MergeSummary | ScoreMergeSummary") -> None:
    from biofm.inference import MergeSummary  # brings numpy: not before a command runs

    if isinstance(summary, MergeSummary):
        items = summary.provenance.get("items", "proteins")  # an earlier biofm left it out
        say(f"{summary.n_sequences:,} {items}, {summary.n_unique:,} sequences, {summary.n_shards} shards")
        say(f"{summary.n_rows:,} x {summary.n_dimensions} -> {summary.output}")
    else:
        what = f"{spelt_scores(summary)}, {summary.n_shards} shards"
        say(f"{what} -> {place_of(summary.output)}")
    say("The shards are left as they are; they are no longer needed")
