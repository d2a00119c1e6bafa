"""The report of a pretraining."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING

from biofm.core.environment import Environment
from biofm.core.progress import format_duration
from biofm.evaluation import HeldOutPerplexity
from biofm.evaluation.bootstrap import Estimate
from biofm.nn import EncoderConfig
from biofm.report.run import Contender, Measure, Pairs, Results, RunReport, Table
from biofm.training.recipe import PretrainRecipe
from biofm.training.reporting.curves import Rows, curves_of, training_seconds
from biofm.training.reporting.words import join_names

if TYPE_CHECKING:
    from biofm.training.run import PretrainSummary

BASELINES = {
    "own_composition": ("own composition", "residue frequencies of the protein itself, smoothed"),
    "unigram": ("unigram", "residue frequencies of the training set"),
}


def report_of_pretraining(
    summary: "PretrainSummary",
    recipe: PretrainRecipe,
    encoder: EncoderConfig,
    rows: Rows,
    *,
    sources: Sequence[str],
    unigram_loss: float,
    data: Sequence[Table | Pairs],
    environment: Environment,
    ended: str,
) -> RunReport:
    """``rows``: of ``metrics.csv``. ``sources``: what the inputs are called. ``unigram_loss``: in nats a
    residue, to compare losses with.
    """
    predicted = "masked residue" if recipe.objective == "masked" else "token"
    levels = {"residue frequencies alone": unigram_loss} if recipe.objective == "masked" else {}
    return RunReport(
        title=f"Pretraining on {join_names(sources)}",
        kind="pretraining",
        summary=_summary(summary, rows),
        environment=environment,
        facts=_facts(summary, rows),
        results=(_results(summary.held_out),) if summary.held_out else (),
        curves=curves_of(rows, f"cross-entropy (nats per {predicted})", levels),
        data=tuple(data),
        configuration=asdict(recipe) | {"encoder": asdict(encoder)},
        notices=summary.notices,
        ended=ended,
    )


def _summary(summary: "PretrainSummary", rows: Rows) -> str:
    trained = f"A model of {summary.n_parameters:,} parameters was "
    if rows:
        trained += f"trained on {summary.n_train:,} sequences for {rows[-1]['step']:,.0f} steps. "
    else:
        trained += "judged without training. "
    n_held_out = sum(it.n_sequences for it in summary.held_out.values())
    judged = f"{n_held_out:,} sequences were held out to judge it" if n_held_out else "Nothing was held out"
    removed = f"; {summary.n_removed:,} that resemble them were left out" if summary.n_removed else ""
    return f"{trained}{judged}{removed}."


def _facts(summary: "PretrainSummary", rows: Rows) -> dict[str, str]:
    facts = {}
    if len(summary.held_out) == 1:
        (judged,) = summary.held_out.values()
        facts["held-out perplexity"] = f"{judged.model:.2f}"
        facts["best baseline"] = f"{min(judged.unigram, judged.own_composition):.2f}"
    facts |= {"parameters": f"{summary.n_parameters:,}", "sequences in training": f"{summary.n_train:,}"}
    speeds = [row["tokens_per_second"] for row in rows if "tokens_per_second" in row]
    if rows:
        facts["steps"] = f"{rows[-1]['step']:,.0f}"
        facts["tokens seen"] = _count(rows[-1]["tokens"])
    if speeds:
        facts["time in training"] = format_duration(training_seconds(rows))
        facts["tokens a second"] = f"{median(speeds):,.0f}"
    return facts


def _count(n: float) -> str:
    return f"{n:,.0f}" if n < 1e6 else f"{n / 1e6:,.1f} million"


def _results(held_out: Mapping[str, HeldOutPerplexity]) -> Results:
    """A column for each source: they are judged apart."""
    names = {"model": ("the model", ""), **BASELINES}
    n_residues = sum(it.n_residues for it in held_out.values())
    return Results(
        title="Perplexity on held-out sequences",
        measures=tuple(Measure(name=f"perplexity on {name}", higher_is_better=False) for name in held_out),
        contenders=tuple(
            Contender(
                name=name,
                kind="model" if field == "model" else "baseline",
                estimates=tuple(_estimate(found, field) for found in held_out.values()),
                note=note,
            )
            for field, (name, note) in names.items()
        ),
        interval="95 % interval, of drawing the sequences again and again",
        note=f"Over {n_residues:,} residues, each predicted once; 20 is what guessing gives.",
    )


def _estimate(found: HeldOutPerplexity, field: str) -> Estimate:
    low, high = found.intervals.get(field, (None, None))
    return Estimate(value=getattr(found, field), low=low, high=high)
