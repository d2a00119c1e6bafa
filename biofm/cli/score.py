"""What ``biofm score`` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

from biofm.api import Score
from biofm.cli.estimate import show_score_estimate
from biofm.cli.printing import place_of, print_json, refuse_two_outputs, say, say_notices

if TYPE_CHECKING:
    from biofm.inference.scoring import ScoreEstimate, ScoreMergeSummary, ScoreSummary


def check(asked: Score, as_json: bool) -> None:
    refuse_two_outputs(Path(asked.output), as_json)


def show(asked: Score, summary: "ScoreSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _say_summary(asked, summary)


def show_estimated(asked: Score, estimate: "ScoreEstimate", as_json: bool) -> None:
    show_score_estimate(estimate, Path(asked.output), as_json=as_json)


def spelt_scores(summary: "ScoreSummary | ScoreMergeSummary") -> str:
    """Such as ``12 scores, 3 rows without``."""
    without = f", {summary.n_unscored:,} rows without" if summary.n_unscored else ""
    return f"{summary.n_variants - summary.n_unscored:,} scores{without}"


def _say_summary(asked: Score, summary: "ScoreSummary") -> None:
    provenance, speed = summary.provenance, summary.variants_per_second
    decimals = 0 if speed >= 10 else 2  # a long deletion takes seconds
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    say(f"{summary.n_variants:,} variants, {summary.n_tokens:,} tokens, {speed:,.{decimals}f} variants/s")
    say(f"{spelt_scores(summary)} -> {place_of(summary.output)}")
    if asked.picture:
        say(f"picture -> {asked.picture}")
