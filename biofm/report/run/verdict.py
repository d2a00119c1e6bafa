"""Who is best, said in words, whoever it is; and values of one measure, written alike."""

import math
from dataclasses import dataclass

from biofm.evaluation.bootstrap import Estimate
from biofm.report.run.contents import Contender, Measure, Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A sentence, and whether it says that a model is ahead of every baseline."""

    model_is_ahead: bool
    sentence: str


def judge(results: Results) -> list[Verdict]:
    """For each measure, the best model beside the best baseline, where there are both."""
    verdicts = (_judge(results, number, measure) for number, measure in enumerate(results.measures))
    return [verdict for verdict in verdicts if verdict is not None]


def find_best(results: Results, number: int) -> list[Contender]:
    """Who has the best value of measure ``number``; several where they are equal."""
    return _best(list(results.contenders), number, results.measures[number])


def values_of(results: Results, number: int) -> list[float]:
    """Every finite value and bound of measure ``number``."""
    return [
        value
        for contender in results.contenders
        if (estimate := contender.estimates[number]) is not None
        for value in (estimate.value, estimate.low, estimate.high)
        if value is not None and math.isfinite(value)
    ]


def format_value(results: Results, number: int, value: float | None) -> str:
    """With the decimals that give the largest of its measure four digits, so that a column can be compared;
    three for what lies between 0.1 and 1, as a correlation does.
    """
    if value is None:
        return "–"
    largest = max(map(abs, values_of(results, number)), default=0.0)
    magnitude = math.floor(math.log10(largest)) if largest else 0
    return f"{value:,.{3 if magnitude in (-1, 0) else max(0, 3 - magnitude)}f}"


def _judge(results: Results, number: int, measure: Measure) -> Verdict | None:
    of_kind = {
        kind: _best([it for it in results.contenders if it.kind == kind], number, measure)
        for kind in ("model", "baseline")
    }
    if not of_kind["model"] or not of_kind["baseline"]:
        return None

    def text(estimate: Estimate) -> str:
        unit = f" {measure.unit}" if measure.unit else ""
        return f"{format_value(results, number, estimate.value)}{unit}"

    model, baseline = of_kind["model"][0], of_kind["baseline"][0]
    ours, theirs = _estimate(model, number), _estimate(baseline, number)
    if ours.value == theirs.value:
        what = f"{model.name} is no better than the baseline {baseline.name}"
        return Verdict(model_is_ahead=False, sentence=f"By {measure.name}, {what}: both {text(ours)}.")
    is_ahead = _goodness(ours, measure) > _goodness(theirs, measure)
    pair = [(model.name, ours), (f"the baseline {baseline.name}", theirs)]
    (winner, won), (loser, lost) = pair if is_ahead else pair[::-1]
    sentence = (
        f"By {measure.name}, {winner} is better than {loser}: {text(won)} against {text(lost)}"
        f"{', but their intervals overlap' if _overlap(ours, theirs) else ''}."
    )
    return Verdict(model_is_ahead=is_ahead, sentence=sentence)


def _best(contenders: list[Contender], number: int, measure: Measure) -> list[Contender]:
    known = [it for it in contenders if _is_known(it.estimates[number])]
    if not known:
        return []
    best = max(_goodness(_estimate(it, number), measure) for it in known)
    return [it for it in known if _goodness(_estimate(it, number), measure) == best]


def _is_known(estimate: Estimate | None) -> bool:
    return estimate is not None and estimate.value is not None and not math.isnan(estimate.value)


def _estimate(contender: Contender, number: int) -> Estimate:
    estimate = contender.estimates[number]
    assert estimate is not None
    return estimate


def _goodness(estimate: Estimate, measure: Measure) -> float:
    assert estimate.value is not None
    return estimate.value if measure.higher_is_better else -estimate.value


def _overlap(one: Estimate, other: Estimate) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high
