"""Report of a pretraining: it shows the losses beside a baseline, and perplexities on held-out sequences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from statistics import median

import numpy as np
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.core.environment import Environment
from biofm.core.text import format_duration
from biofm.evaluation import HeldOutPerplexity, IntervalEstimate, describe_interval
from biofm.modalities import Words
from biofm.nn import EncoderConfig
from biofm.report import Curves
from biofm.report.run import Contender, Measure, Pairs, Results, RunReport, Table, say_who_is_best
from biofm.training.recipe import PretrainRecipe
from biofm.training.reporting.run import Rows, curves_of, join_names, training_seconds
from biofm.training.summary import PretrainSummary


def report_of_pretraining(
    summary: PretrainSummary,
    recipe: PretrainRecipe,
    encoder: EncoderConfig,
    rows: Rows,
    *,
    sources: Sequence[str],
    words: Words,
    unigram: NDArray[np.float64],
    data: Sequence[Table | Pairs],
    environment: Environment,
    ended: str,
) -> RunReport:
    """Make the report of a pretraining.

    Args:
        summary: The results of the run.
        recipe: The settings of the run.
        encoder: The sizes of the model.
        rows: The rows of the log.
        sources: The names of the inputs.
        words: The modality's words for its sequences and units.
        unigram: The frequencies of the units in training.
        data: The description of the data, as ``describe_data`` makes it.
        environment: The machine and the versions of the software.
        ended: The date and time of the end.
    """
    return RunReport(
        title=f"Pretraining on {join_names(sources)}",
        kind="pretraining",
        summary=_summary(summary, rows),
        environment=environment,
        facts=_facts(summary, rows),
        results=(_results(summary.held_out, words, len(unigram)),) if summary.held_out else (),
        curves=_curves(rows, recipe, words, unigram),
        data=tuple(data),
        configuration=asdict(recipe) | {"encoder": asdict(encoder)},
        notices=summary.notices,
        ended=ended,
    )


def _curves(
    rows: Rows, recipe: PretrainRecipe, words: Words, unigram: NDArray[np.float64]
) -> tuple[Curves, ...]:
    """Make the curves of the log. Losses of masked units stand beside the least loss without context."""
    if recipe.objective != "masked":
        return curves_of(rows, "nats per token", {})
    left = 1 - recipe.mask_rate - recipe.random_rate
    note = (
        f"The loss is a mean over the predicted {words.units}, of which {recipe.mask_rate:.0%} are hidden, "
        f"{recipe.random_rate:.0%} replaced and {left:.0%} shown unchanged. The dashed line is the lowest "
        f"loss that is possible without seeing any other {words.unit}: a loss above it shows no use of the "
        f"context. Perplexities are measured on hidden {words.units} only, which are harder, so that the "
        "loss is not their logarithm."
    )
    levels = {"without context": loss_without_context(unigram, recipe)}
    return curves_of(rows, f"nats per predicted {words.unit}", levels, note)


def loss_without_context(unigram: NDArray[np.float64], recipe: PretrainRecipe) -> float:
    """Compute the least cross-entropy, in nats a unit, of a prediction that sees no other place.

    The prediction knows the frequencies of the units, and how often a unit is hidden, replaced or left.
    """
    left = 1 - recipe.mask_rate - recipe.random_rate
    shown = unigram[:, None] * (left * np.eye(len(unigram)) + recipe.random_rate / len(unigram))
    cases = [recipe.mask_rate * unigram, *shown.T]  # joint frequencies of a view and the true kinds
    return float(sum(_entropy(case) for case in cases))


def _entropy(case: NDArray[np.float64]) -> float:
    """Compute the entropy of the kinds of unit in one case, in nats, times the probability of the case."""
    known = case[case > 0]
    return float(-(known * np.log(known / known.sum())).sum())


def _summary(summary: PretrainSummary, rows: Rows) -> str:
    trained = f"A model of {summary.n_parameters:,} parameters was "
    if rows:
        n_steps = _n_steps(summary, rows)
        trained += (
            f"trained on {format_count(summary.n_train, 'sequence')} for {format_count(n_steps, 'step')}"
        )
        is_earlier = 0 < summary.best_step < n_steps
        trained += f", and judged with the weights of step {summary.best_step:,}. " if is_earlier else ". "
    else:
        trained += "evaluated without training. "
    n_held_out = sum(it.n_sequences for it in summary.held_out.values())
    judged = "No sequences were held out for the evaluation"
    if n_held_out:
        judged = f"For the evaluation, {format_count(n_held_out, 'sequence was', 'sequences were')} held out"
    removed = f"; {summary.n_removed:,} that resemble them were left out" if summary.n_removed else ""
    return f"{trained}{judged}{removed}."


def _n_steps(summary: PretrainSummary, rows: Rows) -> int:
    """Return how many steps were made; the log may lack the last ones of a run that was interrupted."""
    return max(int(rows[-1]["step"]), summary.best_step)


def _facts(summary: PretrainSummary, rows: Rows) -> dict[str, str]:
    facts = {}
    if len(summary.held_out) == 1:
        (judged,) = summary.held_out.values()
        facts["held-out perplexity"] = f"{judged.model:.2f}"
        facts["best baseline"] = f"{min(judged.unigram, judged.own_composition):.2f}"
    facts |= {"parameters": f"{summary.n_parameters:,}", "sequences in training": f"{summary.n_train:,}"}
    speeds = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
    if rows:
        facts["steps"] = f"{_n_steps(summary, rows):,}"
        facts["tokens seen"] = _count(rows[-1]["tokens"])
    if speeds:
        facts["time in training"] = format_duration(training_seconds(rows))
        facts["tokens per second"] = f"{median(speeds):,.0f}"
    return facts


def _count(n: float) -> str:
    return f"{n:,.0f}" if n < 1e6 else f"{n / 1e6:,.1f} million"


def say_which_perplexity_is_better(source: str, found: HeldOutPerplexity) -> str:
    """Return the sentence of the report that compares the model with the best baseline on one source.

    Args:
        source: Name of the source.
        found: Perplexities on the held-out sequences of the source.

    Returns:
        The sentence; it is empty if a perplexity is not a number.
    """
    return "".join(standing.sentence for standing in say_who_is_best(_compared({source: found})))


def _results(held_out: Mapping[str, HeldOutPerplexity], words: Words, n_kinds: int) -> Results:
    """Make the table of perplexities with its notes. ``n_kinds`` counts the kinds of unit."""
    compared = _compared(held_out)
    notes = {
        "own composition": f"{words.unit} frequencies of the {words.item} itself, smoothed",
        "unigram": f"{words.unit} frequencies of the training set",
    }
    n_residues = sum(it.n_residues for it in held_out.values())
    return replace(
        compared,
        contenders=tuple(replace(one, note=notes.get(one.name, "")) for one in compared.contenders),
        note=f"Over {n_residues:,} {words.units}, each predicted once; guessing has perplexity {n_kinds:,}.",
    )


def _compared(held_out: Mapping[str, HeldOutPerplexity]) -> Results:
    """Make the table of perplexities with a column for each source."""
    names = {"model": "the model", "own_composition": "own composition", "unigram": "unigram"}
    return Results(
        title="Perplexity on held-out sequences",
        measures=tuple(
            Measure(
                name=f"perplexity on {name}",
                higher_is_better=False,
                n_judged=it.n_sequences,
                judged="sequence",
            )
            for name, it in held_out.items()
        ),
        contenders=tuple(
            Contender(
                name=name,
                kind="model" if field == "model" else "baseline",
                estimates=tuple(_estimate(found, field) for found in held_out.values()),
            )
            for field, name in names.items()
        ),
        interval="; ".join(
            f"{f'for {name}, ' if len(held_out) > 1 else ''}{describe_interval(it.n_sequences, 'sequence')}"
            for name, it in held_out.items()
        ),
        advice="train on more sequences or for more steps",
    )


def _estimate(found: HeldOutPerplexity, field: str) -> IntervalEstimate:
    low, high = found.intervals.get(field, (None, None))
    return IntervalEstimate(value=getattr(found, field), low=low, high=high)
