"""How the best model stands beside the best baseline, in a sentence; and numbers of one measure, written
alike.
"""

import math
from dataclasses import dataclass

from biofm.evaluation import IntervalEstimate
from biofm.report.run.contents import Contender, Measure, Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A sentence that says who is best, and whether that is a model, ahead of every baseline."""

    model_is_ahead: bool
    sentence: str


def say_who_is_best(results: Results) -> list[Standing]:
    """Compare the best model with the best baseline, by the first measure and by those that disagree with
    it.
    """
    standings = [_compare_best(results, number) for number in range(len(results.measures))]
    known = [it for it in standings if it is not None]
    return known[:1] + [it for it in known[1:] if it.model_is_ahead != known[0].model_is_ahead]


def find_best(results: Results, number: int, kind: str | None = None) -> list[Contender]:
    """Return who has the best value of measure ``number``, of all contenders or those of a kind; several if
    they are equal.
    """
    among = [it for it in results.contenders if kind in (None, it.kind) and _is_known(it.estimates[number])]
    if not among:
        return []
    measure = results.measures[number]
    best = max(_goodness(it, number, measure) for it in among)
    return [it for it in among if _goodness(it, number, measure) == best]


def values_of(results: Results, number: int) -> list[float]:
    """Return every finite value and bound of measure ``number``."""
    return [
        value
        for contender in results.contenders
        if (estimate := contender.estimates[number]) is not None
        for value in (estimate.value, estimate.low, estimate.high)
        if value is not None and math.isfinite(value)
    ]


def format_value(results: Results, number: int, value: float) -> str:
    """Write a value with as many decimals as give the largest value of its measure four digits, so that a
    column can be compared; with three if the largest lies between 0.1 and 1, as a correlation does.
    """
    largest = max(map(abs, values_of(results, number)), default=0.0)
    magnitude = math.floor(math.log10(largest)) if largest else 0
    return f"{value:z,.{3 if magnitude in (-1, 0) else max(0, 3 - magnitude)}f}"


def _compare_best(results: Results, number: int) -> Standing | None:
    """Compare by measure ``number``; None where there is no model or no baseline with a value."""
    models, baselines = (find_best(results, number, kind) for kind in ("model", "baseline"))
    if not models or not baselines:
        return None
    measure, model, baseline = results.measures[number], models[0], baselines[0]
    ours, theirs = (_text(results, number, it) for it in (model, baseline))
    lead = _goodness(model, number, measure) - _goodness(baseline, number, measure)
    if lead == 0:
        what = f"{model.name} is no better than the baseline {baseline.name}: both have {ours}"
    elif lead > 0:
        what = f"{model.name} is better than every baseline: {ours} against {theirs} of {baseline.name}"
    else:
        what = f"the baseline {baseline.name} is better than {model.name}: {theirs} against {ours}"
    doubt = _doubt(results, number, model, baseline) if lead else ""
    return Standing(model_is_ahead=lead > 0, sentence=f"By {measure.name}, {what}{doubt}.")


def _doubt(results: Results, number: int, model: Contender, baseline: Contender) -> str:
    """Return what the intervals say of the difference: the interval of the difference itself where it is
    known, otherwise whether those of the two overlap.
    """
    difference = results.differences.get(baseline.name) if number == 0 else None
    if difference is not None and difference.low is not None and difference.high is not None:
        low, high = (format_value(results, number, bound) for bound in (difference.low, difference.high))
        may_be = "which may be chance" if difference.low <= 0 <= difference.high else "beyond chance"
        return f"; the model less the baseline is within [{low}, {high}], {may_be}"
    one, other = model.estimates[number], baseline.estimates[number]
    if one is None or other is None or one.low is None or other.low is None:
        return ""
    assert one.high is not None, "bounds come in pairs"
    assert other.high is not None, "bounds come in pairs"
    overlap = one.low <= other.high and other.low <= one.high
    return ", but their intervals overlap" if overlap else ""


def _is_known(estimate: IntervalEstimate | None) -> bool:
    return estimate is not None and estimate.value is not None and not math.isnan(estimate.value)


def _goodness(contender: Contender, number: int, measure: Measure) -> float:
    value = _value(contender, number)
    return value if measure.higher_is_better else -value


def _value(contender: Contender, number: int) -> float:
    estimate = contender.estimates[number]
    assert estimate is not None
    assert estimate.value is not None
    return estimate.value


def _text(results: Results, number: int, contender: Contender) -> str:
    unit = results.measures[number].unit
    return format_value(results, number, _value(contender, number)) + (f" {unit}" if unit else "")
