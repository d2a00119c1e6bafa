"""Comparison: a sentence says how much better a model or its baseline is, and whether that may be chance."""

import math
from collections.abc import Callable
from decimal import Decimal

from biofm.evaluation.bootstrap import IntervalEstimate


def _three_decimals(value: float) -> str:
    """Write a value with three decimals, without the sign of a negative zero."""
    return f"{value:z.3f}"


def say_which_is_better(
    model: tuple[str, float],
    baseline: tuple[str, float],
    measure: str,
    difference: IntervalEstimate | None = None,
    *,
    higher_is_better: bool = True,
    write: Callable[[float], str] = _three_decimals,
    ending: str = "",
    advice: str = "use the baseline",
    too_few: str = "",
) -> str:
    """Return a sentence that compares a model with a baseline.

    Args:
        model: Name and value of the model.
        baseline: Name and value of the baseline.
        measure: Name of the measure, for example "Spearman on 1,000 rows".
        difference: Value of the model minus that of the baseline, with its 95 % interval; None if it is not
            known.
        higher_is_better: Whether a higher value is better. False for errors and perplexities.
        write: Writes a value with a fixed count of decimals, then a space and its unit if it has one. The
            printed difference is that of the written numbers.
        ending: What ends the sentence if the interval of the difference is not known; it replaces the advice.
        advice: What to do if the baseline is better.
        too_few: What ``say_too_few`` says of the judged rows; if it is not empty, it takes the place of the
            interval.
    """
    (model_name, ours), (baseline_name, theirs) = model, baseline
    lead = ours - theirs if higher_is_better else theirs - ours
    if ours == theirs:  # two infinities too, whose difference is no number
        both = write(ours)
        return f"By {measure}, {model_name} is no better than the baseline {baseline_name}: both have {both}."
    names = f"{model_name} ({write(ours)})", f"the baseline {baseline_name} ({write(theirs)})"
    if math.isnan(lead):
        return f"By {measure}, {names[0]} and {names[1]} cannot be compared."
    better, worse = names if lead > 0 else names[::-1]
    amount = "" if math.isinf(lead) else f"{_amount(write(ours), write(theirs))} "
    what = f"By {measure}, {better} is {amount}better"
    if too_few:
        return f"{what} than {worse}: {too_few}{f'; {advice}' if lead < 0 else ''}."
    bounds = difference.bounds if difference is not None and amount else None
    if bounds is None or any(map(math.isnan, bounds)):
        end = ending or (advice if lead < 0 else "")
        return f"{what} than {worse}{f': {end}' if end else ''}."
    low, high = bounds
    if (lead > 0) != higher_is_better:  # the interval is that of model minus baseline: reverse its sign
        low, high = -high, -low
    if low <= 0 <= high:
        certainty = ": the difference may be chance"
    else:
        certainty = f", and the interval excludes 0{f': {advice}' if lead < 0 else ''}"
    return f"{what} (95 % interval {write(low)} to {write(high)}) than {worse}{certainty}."


def _amount(one: str, other: str) -> str:
    """Write how far two written values are apart, so that the three numbers add up for a reader.

    The difference of the rounded values is up to one unit of the last decimal off the rounded difference.
    Values that are written alike differ by less than that unit.
    """
    _, space, unit = one.partition(" ")
    first, second = (Decimal(text.partition(" ")[0].replace(",", "")) for text in (one, other))
    apart = f"{abs(first - second):,f}"
    if first == second:
        apart = f"less than {apart[:-1]}1"
    return f"{apart}{space}{unit}"
