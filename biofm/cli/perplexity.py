"""What ``biofm perplexity`` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

from biofm.api import Perplexity
from biofm.cli.printing import place_of, print_json, refuse_two_outputs, say, say_notices, spelt_counts

if TYPE_CHECKING:
    from biofm.inference.scoring import PerplexitySummary


def check(asked: Perplexity, as_json: bool) -> None:
    refuse_two_outputs(Path(asked.output), as_json)


def show(asked: Perplexity, summary: "PerplexitySummary", as_json: bool) -> None:
    say_notices(summary.notices)
    if as_json:
        print_json(summary)
    else:
        _say_summary(summary)


def _say_summary(summary: "PerplexitySummary") -> None:
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")
    if summary.perplexity is not None:
        say(f"{provenance['method']} perplexity of all {provenance['units']}: {summary.perplexity:.2f}")
    say(f"{summary.n_sequences:,} rows -> {place_of(summary.output)}")
