"""Evaluation on the command line: what ``biofm evaluate`` prints."""

import math
from typing import TYPE_CHECKING

from biofm_datasets.text import format_count

from biofm.api import Evaluate
from biofm.cli.printing import (
    format_estimate,
    print_if_unreliable,
    print_json,
    print_result,
    print_table,
    say,
    say_notices,
    say_wrote,
)

if TYPE_CHECKING:
    from biofm.evaluation import Comparison, Evaluation, Row


def show_evaluate(asked: Evaluate, found: "Evaluation", as_json: bool) -> None:
    say_notices(found.notices)
    if as_json:
        print_json(found)
    else:
        _print_evaluation(found)
    _say_comparisons(found)
    if asked.output:
        say_wrote("the result", asked.output)
    if asked.picture:
        say_wrote("the picture", asked.picture)


def _print_evaluation(found: "Evaluation") -> None:
    from biofm.evaluation import TOP_SHARE  # brings torch

    print_result(
        f"{format_count(found.n_rows, 'measurement')}; positive for AUROC and MCC: {found.positive} "
        f"({found.n_positive:,} of {found.n_rows:,})"
    )
    header = (found.measured, "Spearman", "AUROC", "NDCG", "MCC", "n")
    print_table([_cells(row) for row in found.rows], header=header)
    if any(row.n < TOP_SHARE for row in found.rows):
        print_result(
            f"NDCG: not computed where n is below {TOP_SHARE}; it judges the best-scored tenth of the rows"
        )
    if any(row.auroc.value is None for row in found.rows):
        print_result("AUROC: not computed where the n rows are all positive or all negative")
    print_if_unreliable([row.spearman for row in found.rows], min(row.n for row in found.rows))
    for name, reason in found.not_computed.items():
        print_result(f"{name}: not computed, because {reason}")


def _cells(row: "Row") -> tuple[str, ...]:
    others = (format_estimate(measure, with_interval=False) for measure in (row.auroc, row.ndcg, row.mcc))
    return row.name, format_estimate(row.spearman), *others, f"{row.n:,}"


def _say_comparisons(found: "Evaluation") -> None:
    for row in found.rows:
        if row.fitted:
            say(f"{row.name} was fitted to measurements of this assay: {row.fitted}.")
    for row in found.rows:
        of_row = [it for it in found.comparisons if it.score == row.name and not math.isnan(_lead_of(it))]
        if of_row:
            say(_describe(min(of_row, key=_lead_of)))  # beside the best baseline
    if any(row.n < found.n_rows for row in found.rows):
        say(f"n counts the rows that have a value, of {format_count(found.n_rows, 'measurement')}.")
    if len({row.n for row in found.rows}) > 1:
        say("Rows with different n are judged on different variants; comparisons use the variants of both.")


def _lead_of(it: "Comparison") -> float:
    return it.score_spearman - it.baseline_spearman


def _describe(it: "Comparison") -> str:
    from biofm.evaluation import say_too_few, say_which_is_better  # brings torch

    score, baseline = (it.score, it.score_spearman), (it.baseline, it.baseline_spearman)
    measure, too_few = f"Spearman on {format_count(it.n, 'row')}", say_too_few(it.n, "row")
    return say_which_is_better(score, baseline, measure, it.difference, too_few=too_few)
