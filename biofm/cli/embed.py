"""What ``biofm embed`` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

from biofm.api import Embed
from biofm.cli.estimate import show_estimate
from biofm.cli.printing import print_json, say, say_notices, spelt_counts

if TYPE_CHECKING:
    from biofm.inference import EmbedSummary
    from biofm.inference.runs import EmbedEstimate


def show(asked: Embed, summary: "EmbedSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _say_summary(summary)


def show_estimated(asked: Embed, estimate: "EmbedEstimate", as_json: bool) -> None:
    show_estimate(estimate, Path(asked.output), as_json=as_json)


def _say_summary(summary: "EmbedSummary") -> None:
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")
    say(f"{summary.n_rows:,} x {summary.n_dimensions} -> {summary.output}")
