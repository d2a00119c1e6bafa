"""What ``biofm predict`` prints."""

from pathlib import Path
from typing import TYPE_CHECKING

from biofm.api import Predict
from biofm.cli.printing import (
    place_of,
    print_json,
    refuse_two_outputs,
    say,
    say_notices,
    say_remarks,
    spelt_counts,
)

if TYPE_CHECKING:
    from biofm.inference.prediction import PredictSummary


def check(asked: Predict, as_json: bool) -> None:
    refuse_two_outputs(Path(asked.output), as_json)


def show(asked: Predict, summary: "PredictSummary", as_json: bool) -> None:
    say_notices(summary.notices)
    say_remarks(remark for remark in summary.remarks if remark.is_warning or not as_json)
    if as_json:
        print_json(summary)
    else:
        _say_summary(summary)


def _say_summary(summary: "PredictSummary") -> None:
    provenance, speed = summary.provenance, summary.tokens_per_second
    say(f"{provenance['dtype']} on {provenance['device']}: {summary.dtype_reason}")
    counts = spelt_counts(summary.n_sequences, summary.n_residues, provenance)
    say(f"{counts}, {speed:,.0f} tokens/s")
    say(
        f"{summary.task} of {', '.join(summary.targets)} by {summary.n_members} -> {place_of(summary.output)}"
    )
