"""Standing of models: sentences that compare the best model with the best baseline, and numbers of one
measure in one format.
"""

import math
from dataclasses import dataclass

from biofm_datasets.text import format_count

from biofm.evaluation import IntervalEstimate, say_too_few, say_which_is_better
from biofm.report.run.contents import Contender, Measure, Results

OVERLAP = "their 95 % intervals overlap, so the difference may be chance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Holds a sentence that compares the best model with the best baseline.

    Attributes:
        model_is_ahead: Whether the model is better than the baseline.
        sentence: The sentence.
    """

    model_is_ahead: bool
    sentence: str


def say_who_is_best(results: Results) -> list[Standing]:
    """Compare the best model with the best baseline by the first measure, and by other measures that disagree
    with it.

    Args:
        results: Models and baselines with their values.

    Returns:
        A sentence for each of these measures; none where no model or no baseline has a value.
    """
    standings = [_compare_best(results, number) for number in range(len(results.measures))]
    known = [it for it in standings if it is not None]
    return known[:1] + [it for it in known[1:] if it.model_is_ahead != known[0].model_is_ahead]


def find_best(results: Results, number: int, kind: str | None = None) -> list[Contender]:
    """Return the contenders with the best value of measure ``number``, of all or of one kind; several if they
    are equal.
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
    column can be compared. If the largest lies between 0.1 and 1, as a correlation does, write three
    decimals.
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
    lead, n = _goodness(model, number, measure) - _goodness(baseline, number, measure), measure.n_judged
    sentence = say_which_is_better(
        (model.name, _value(model, number)),
        (baseline.name, _value(baseline, number)),
        measure.name if n is None else f"{measure.name} ({format_count(n, measure.judged)})",
        results.differences.get(baseline.name) if number == 0 else None,
        higher_is_better=measure.higher_is_better,
        write=lambda value: _write(results, number, value),
        ending=OVERLAP if _do_overlap(model.estimates[number], baseline.estimates[number]) else "",
        advice=results.advice,
        too_few="" if n is None else say_too_few(n, measure.judged),
    )
    return Standing(model_is_ahead=lead > 0, sentence=sentence)


def _do_overlap(one: IntervalEstimate | None, other: IntervalEstimate | None) -> bool:
    """Return whether the intervals of two estimates overlap; False if one of them is not known."""
    if one is None or other is None or one.low is None or other.low is None:
        return False
    assert one.high is not None, "bounds come in pairs"
    assert other.high is not None, "bounds come in pairs"
    return one.low <= other.high and other.low <= one.high


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


def _write(results: Results, number: int, value: float) -> str:
    """Write a value of measure ``number`` with its unit."""
    unit = results.measures[number].unit
    return format_value(results, number, value) + (f" {unit}" if unit else "")
