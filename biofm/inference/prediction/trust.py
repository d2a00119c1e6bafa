"""Trust: sentences tell the user how far predictions can be trusted.

They report how good intervals and probabilities were on test rows, and how many rows are unlike those of
training.
"""

from collections.abc import Sequence
from typing import NamedTuple

from biofm_datasets.text import format_count

from biofm.evaluation import Calibration, Promise, Share
from biofm.inference.prediction.domain import DISTANCE, INSIDE, LETTERS, REASONS, Domain, DomainTally

MOST_DEVIATIONS = 3  # standard deviations from the mean; a count beyond them is more than chance

NOTHING_KEPT = (
    "an earlier version of biofm made this predictor. It recorded neither how good intervals and "
    "probabilities were on test rows nor what the training rows were like; run `biofm finetune` again to "
    "have both"
)
NOT_TESTED = "the {} were not tested, because the fine-tuning kept no test rows"


class Remark(NamedTuple):
    """Holds a sentence for the user.

    Attributes:
        text: The sentence.
        is_warning: Whether the sentence is a warning.
    """

    text: str
    is_warning: bool = False


def remark_promises(calibration: Calibration, targets: Sequence[str], coverage: float) -> list[Remark]:
    """Report how good the intervals or the probabilities were on the test rows.

    Args:
        calibration: Holds the results on the test rows.
        targets: The names of the predicted columns.
        coverage: The share of true values, between 0 and 1, that the intervals should contain.
    """
    if calibration.promise is not None:
        return [_remark_promise(calibration.promise)]
    held = [one.held(coverage) for one in calibration.intervals]
    pairs = zip(targets, held, strict=bool(held))  # classes have no intervals
    found = [_remark_share(target, share, coverage) for target, share in pairs if share is not None]
    was_tested = any(one.tested is not None for one in calibration.intervals)
    untested = NOT_TESTED.format("intervals" if calibration.intervals else "probabilities")
    return found if found or was_tested else [Remark(untested)]


def remark_domain(domain: Domain, tally: DomainTally, row: str = "row") -> list[Remark]:
    """Report how many rows are out of the domain of training.

    The remark is a warning if a letter did not occur in training, or if more lengths or distances are out of
    the domain than chance explains for rows like those of training.

    Args:
        domain: Decides which rows are like those of training.
        tally: The counts of the rows.
        row: What the sentence calls a row.
    """
    judged = [reason for reason in REASONS if reason != DISTANCE or domain.has_distance]
    counts = ", ".join(f"{reason} {tally.by_reason[reason]:,}" for reason in judged)
    of = format_count(tally.n, row)
    text = f"out of the domain of training: {tally.n_outside:,} of {of} ({counts})"
    if tally.by_reason[DISTANCE]:
        usual = domain.usual(DISTANCE, tally.n)[0]
        text += f"; of rows like those of training, about {usual:,.3g} would be so distant"
    is_warning = any(_is_unusual(domain, tally, reason) for reason in REASONS)
    if is_warning:
        text += ". Do not rely on the predictions for these rows"
    remarks = [Remark(text, is_warning)]
    if not domain.has_distance:
        n = format_count(domain.n_calibrated, "calibration row")
        why = f"{n}, too few for a limit that holds for {INSIDE:.0%} of rows"
        remarks.append(Remark(f"the distance to the training rows is not judged: there are only {why}"))
    return remarks


def _is_unusual(domain: Domain, tally: DomainTally, reason: str) -> bool:
    """Return whether more rows have this reason than chance explains; for letters, one row is enough."""
    if reason == LETTERS:
        return bool(tally.by_reason[reason])
    usual, deviation = domain.usual(reason, tally.n)
    return tally.by_reason[reason] > usual + MOST_DEVIATIONS * deviation


def _remark_share(target: str, held: Share, coverage: float) -> Remark:
    text = (
        f"the {100 * coverage:.4g} % intervals of {target!r} contained the true value in {held.value:.1%} of "
        f"{format_count(held.n, 'test row')} (95 % interval {held.low:.1%} to {held.high:.1%})"
    )
    is_false = held.high < coverage
    return Remark(text + (": they are too narrow for rows like these" if is_false else ""), is_false)


def _remark_promise(promise: Promise) -> Remark:
    text = (
        f"the most probable class was right in {promise.right:.1%} of "
        f"{format_count(promise.n, 'test case')}, and its mean probability was {promise.promised:.1%} "
        f"(95 % interval of the difference {promise.low:.1%} to {promise.high:.1%})"
    )
    is_false = promise.is_false
    return Remark(
        text + (": the probabilities are too high for rows like these" if is_false else ""), is_false
    )
