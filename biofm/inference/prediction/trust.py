"""How far predictions can be trusted, in sentences: how their intervals and probabilities did on test rows,
and how many rows are unlike those of training.
"""

from collections.abc import Sequence
from typing import NamedTuple

from biofm.evaluation import Calibration, Promise, Share
from biofm.inference.prediction.domain import DISTANCE, INSIDE, LETTERS, REASONS, Domain, DomainTally

MOST_DEVIATIONS = 3  # standard deviations from the mean; a count beyond them is more than chance

NOTHING_KEPT = (
    "an earlier biofm made this predictor and kept neither what its promises were worth on test rows nor "
    "what it learned from, so nothing is known of either; run `biofm finetune` again to have both"
)
NOT_TESTED = "what was promised was not tested: the fine-tuning kept no test rows"


class Remark(NamedTuple):
    """A sentence for the user, and whether it is a warning."""

    text: str
    is_warning: bool = False


def remark_promises(calibration: Calibration, targets: Sequence[str], coverage: float) -> list[Remark]:
    """How the intervals or probabilities did on the test rows. ``coverage`` is the share of truths, between 0
    and 1, that the intervals are to hold.
    """
    if calibration.promise is not None:
        return [_remark_promise(calibration.promise)]
    held = [one.held(coverage) for one in calibration.intervals]
    pairs = zip(targets, held, strict=bool(held))  # classes have no intervals
    found = [_remark_share(target, share, coverage) for target, share in pairs if share is not None]
    was_tested = any(one.tested is not None for one in calibration.intervals)
    return found if found or was_tested else [Remark(NOT_TESTED)]


def remark_domain(domain: Domain, tally: DomainTally, rows: str = "rows") -> list[Remark]:
    """How many rows are out of the domain of training; ``rows`` is what the sentence calls them.

    The remark is a warning where a letter did not occur in training, and where more lengths or distances are
    out of the domain than chance explains for rows like those of training.
    """
    counts = ", ".join(f"{reason} {tally.by_reason[reason]:,}" for reason in REASONS)
    text = f"{tally.n_outside:,} of {tally.n:,} {rows} are out of the domain of training ({counts})"
    if tally.by_reason[DISTANCE]:
        usual = domain.usual(DISTANCE, tally.n)[0]
        text += f"; of rows like those of training about {usual:,.3g} would lie so far"
    is_warning = any(_is_unusual(domain, tally, reason) for reason in REASONS)
    if is_warning:
        text += ": of them intervals and probabilities promise nothing"
    remarks = [Remark(text, is_warning)]
    if not domain.has_distance:
        n = f"{domain.n_calibrated:,} rows calibrate it, too few for a limit that {INSIDE:.0%} keep"
        remarks.append(Remark(f"the distance to training is not judged: {n}"))
    return remarks


def _is_unusual(domain: Domain, tally: DomainTally, reason: str) -> bool:
    """Whether more rows have this reason than chance explains; of letters, whether any has."""
    if reason == LETTERS:
        return bool(tally.by_reason[reason])
    usual, deviation = domain.usual(reason, tally.n)
    return tally.by_reason[reason] > usual + MOST_DEVIATIONS * deviation


def _remark_share(target: str, held: Share, coverage: float) -> Remark:
    text = (
        f"intervals of {target!r} that are to hold {coverage:.4g} of the truths held {held.value:.1%} "
        f"[{held.low:.1%}, {held.high:.1%}] of {held.n:,} test rows"
    )
    is_false = held.high < coverage
    return Remark(text + (", so they are too narrow for rows like those" if is_false else ""), is_false)


def _remark_promise(promise: Promise) -> Remark:
    text = (
        f"what was called most probable was right in {promise.right:.1%} of {promise.n:,} test cases, where "
        f"the probabilities promised {promise.promised:.1%} (the difference lies within "
        f"[{promise.low:.1%}, {promise.high:.1%}])"
    )
    is_false = promise.is_false
    return Remark(text + (", so they are too high for rows like those" if is_false else ""), is_false)
