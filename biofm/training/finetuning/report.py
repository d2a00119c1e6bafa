"""Report of a fine-tuning: it shows the results beside baselines, the curves and the uncertainty."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from biofm_datasets.text import format_count

from biofm.evaluation import IntervalEstimate, describe_interval
from biofm.evaluation.supervised import JudgedRow, Judgement
from biofm.inference.prediction import REASONS
from biofm.inference.prediction.domain import DISTANCE
from biofm.report import Curves, Series
from biofm.report.curves import COLOURS
from biofm.report.run import Contender, Measure, Pairs, Results, RunReport, say_who_is_best
from biofm.training.finetuning.findings import Findings
from biofm.training.finetuning.members import FinetuneRun
from biofm.training.finetuning.plan import Plan
from biofm.training.finetuning.report_sections import describe_rows, draw_predictions
from biofm.training.finetuning.results import FinetuneSummary
from biofm.training.folder import LOG
from biofm.training.log import read_log
from biofm.training.reporting import Rows, curves_of, environment_of, join_names, now

METHODS = {"probe": "A head on the vectors of", "lora": "Low-rank adapters in", "full": "All weights of"}
MODEL_NAMES = {"probe": "the probe", "lora": "LoRA", "full": "full fine-tuning"}
MEASURE_NAMES = {
    "spearman": "Spearman", "pearson": "Pearson", "rmse": "RMSE", "mae": "MAE", "r2": "R²", "mcc": "MCC",
    "auroc": "AUROC", "auprc": "AUPRC", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1",
}  # fmt: skip
LOWER_IS_BETTER = ("rmse", "mae")
LITTLE = 0.01  # a model with a smaller R² predicts little more than the mean


def report_of_finetuning(run: FinetuneRun, findings: Findings, summary: FinetuneSummary) -> RunReport:
    """Make the report. The curves come from the ``metrics.csv`` of each member that has one."""
    table, plan = run.table, run.plan
    logs = {member.name: run.work(member.name) / LOG for member in plan.members}
    rows = {name: read_log(path) for name, path in logs.items() if path.exists()}
    units = table.modality.words.units
    return RunReport(
        title=f"{join_names(summary.targets)} of {Path(table.name).name}",
        kind="fine-tuning",
        summary=" ".join(filter(None, [_summary(summary, plan), *_cautions(summary)])),
        environment=environment_of(run.compute),
        facts=_facts(summary, plan),
        results=tuple(_results(summary, plan, units)),
        curves=_curves(rows),
        pictures=draw_predictions(run, findings),
        data=(*describe_rows(table, plan), *_uncertainty(summary, units)),
        configuration=run.recipe.used(),
        notices=summary.notices,
        ended=now(),
        models=(summary.model,),
    )


def _summary(summary: FinetuneSummary, plan: Plan) -> str:
    training = set[int]().union(*(member.train.tolist() for member in plan.members))
    validating = set[int]().union(*(member.validation.tolist() for member in plan.members)) - training
    validated = f", with {len(validating):,} more for validation" if validating else ""
    judged = join_names([format_count(found.n_rows, f"{name} row") for name, found in summary.judged.items()])
    fits = {name: plan.judged[name].fitted for name in summary.judged}
    fitted = join_names([f"{it} for the {name} rows" if len(fits) > 1 else it for name, it in fits.items()])
    return (
        f"{METHODS[summary.method]} {_called(summary.model)} learned {join_names(summary.targets)} from "
        f"{format_count(len(training), 'row')}{validated} ({summary.task}, because {summary.why}). The "
        f"predictions are evaluated on {judged} and compared with baselines, which are fitted to {fitted}."
    )


def _cautions(summary: FinetuneSummary) -> list[str]:
    return [say_if_little_was_learned(name, found) for name, found in summary.judged.items()]


def say_if_little_was_learned(name: str, found: Judgement) -> str:
    """Return a sentence if a model of numbers predicts little more than their mean; else an empty text.

    Args:
        name: The name of the rows, such as "test".
        found: The evaluation on these rows.
    """
    model = found.rows[0]
    r2 = model.measures["r2"].value if "r2" in model.measures else None
    if r2 is None or r2 >= LITTLE:
        return ""
    return (
        f"On the {name} rows, {MODEL_NAMES[model.name]} predicts little more than the mean of the measured "
        f"values (R² {r2:z.3f}), whatever its rank correlation."
    )


def _facts(summary: FinetuneSummary, plan: Plan) -> dict[str, str]:
    facts = {}
    for name, found in summary.judged.items():
        model, *baselines = (row.measures[summary.primary].value for row in found.rows)
        best = max((value for value in baselines if value is not None), default=None)
        facts[f"{_measure_name(summary.primary)}, {name} rows"] = _number(model)
        facts[f"best baseline, {name} rows"] = _number(best)
    return facts | {"method": summary.method, "members": f"{len(plan.members):,}"}


def _results(summary: FinetuneSummary, plan: Plan, units: str) -> list[Results]:
    results = []
    missing = "; ".join(f"{name} ({reason})" for name, reason in summary.not_computed.items())
    for name, found in summary.judged.items():
        judged = "" if found.n_residues is None else f", with {found.n_residues:,} {units}"
        title = f"{name.capitalize()} rows: {found.n_rows:,}{judged}"
        note = f"The baselines are fitted to {plan.judged[name].fitted}."
        results.append(
            replace(
                _compared(found, summary.primary),
                title=title,
                note=f"{note} Not computed: {missing}." if missing else note,
            )
        )
        if len(summary.targets) > 1:
            results.append(_by_target(summary, found, title))
    return results


def say_which_predicts_better(found: Judgement, primary: str) -> str:
    """Return the sentence of the report that compares the model with the best baseline in the primary metric.

    It is empty if the metric of the model or of every baseline is not defined.
    """
    compared = _compared(found, primary)
    only = replace(
        compared,
        measures=compared.measures[:1],
        contenders=tuple(replace(one, estimates=one.estimates[:1]) for one in compared.contenders),
    )
    return "".join(standing.sentence for standing in say_who_is_best(only))


def _compared(found: Judgement, primary: str) -> Results:
    """Make the table of the metrics, the primary one first."""
    measures = sorted(found.rows[0].measures, key=lambda it: it != primary)
    return Results(
        title="",
        measures=tuple(
            Measure(name=_measure_name(it), higher_is_better=it not in LOWER_IS_BETTER, n_judged=found.n_rows)
            for it in measures
        ),
        contenders=_contenders(found, [[row.measures[it] for it in measures] for row in found.rows]),
        interval=describe_interval(found.n_rows, "row"),
        differences={lead.baseline: lead.difference for lead in found.leads},
    )


def _by_target(summary: FinetuneSummary, found: Judgement, title: str) -> Results:
    """Make the table of the primary metric with a column for each target."""
    name, targets = _measure_name(summary.primary), summary.targets
    return Results(
        title=f"{title}, each target by itself",
        has_comparison=False,
        interval=describe_interval(found.n_rows, "row"),
        measures=tuple(Measure(name=f"{name} of {it}", higher_is_better=True) for it in targets),
        contenders=_contenders(
            found, [[row.by_target[it][summary.primary] for it in targets] for row in found.rows]
        ),
    )


def _contenders(found: Judgement, estimates: Sequence[Sequence[IntervalEstimate]]) -> tuple[Contender, ...]:
    return tuple(
        Contender(
            name=MODEL_NAMES.get(row.name, row.name),
            kind=row.kind,
            estimates=tuple(of_row),
            may_be_best=_is_better_than_the_mean(row),
        )
        for row, of_row in zip(found.rows, estimates, strict=True)
    )


def _is_better_than_the_mean(row: JudgedRow) -> bool:
    """Return whether R² is positive; classes and labels have none, and no mean."""
    r2 = row.measures["r2"].value if "r2" in row.measures else None
    return r2 is None or r2 > 0


def _curves(rows: Mapping[str, Rows]) -> tuple[Curves, ...]:
    """Make all curves of a single member, or the losses of several members."""
    if len(rows) == 1:
        (only,) = rows.values()
        return curves_of(only, "", {})
    found = []
    for title, column in (("Validation loss", "validation_loss"), ("Training loss", "loss")):
        series = [_series(name, of, column) for name, of in rows.items() if any(column in row for row in of)]
        shown = tuple(series[: len(COLOURS)])
        note = f"The first {len(shown)} of {len(series)} members." if len(series) > len(shown) else ""
        if shown:
            found.append(Curves(title=title, x_label="step", y_label="loss", series=shown, note=note))
    return tuple(found)


def _series(name: str, rows: Rows, column: str) -> Series:
    points = [(row["step"], row[column]) for row in rows if column in row]
    return Series(name=name, x=[x for x, _ in points], y=[y for _, y in points])


def _uncertainty(summary: FinetuneSummary, units: str) -> list[Pairs]:
    if not summary.calibrated:
        return []
    found = summary.calibrated
    values = {"rows that calibrate": found["n_calibrated"]}
    if "coverage" in found:
        covered = found["covered"]
        values |= {
            "share of measured values that an interval should contain": f"{found['coverage']:.0%}",
            "share that it contains": "not known" if covered is None else f"{covered:.1%}",
            **_held_by_target(found["by_target"]),
            "mean width of the intervals": "infinite" if covered is None else f"{found['mean_width']:.4g}",
        }
    else:
        values |= {
            "temperatures (above 1 soften the probabilities)": [f"{it:.3g}" for it in found["temperatures"]],
            "calibration error before temperature scaling": f"{found['error_before']:.4f}",
            "calibration error after temperature scaling": f"{found['error_after']:.4f}",
        }
    warnings = [text for text, is_warning in summary.remarks if is_warning]
    values |= {"warnings": warnings} if warnings else {}
    return [Pairs(title="Uncertainty, on the test rows", values=values), _domain(summary, units)]


def _held_by_target(found: Mapping[str, Mapping[str, float] | None]) -> dict[str, str]:
    return {
        f"share for {target}": f"{it['value']:.1%} (95 % interval {it['low']:.1%} to {it['high']:.1%})"
        for target, it in found.items()
        if it is not None
    }


def _domain(summary: FinetuneSummary, units: str) -> Pairs:
    training, test = summary.domain["training"], summary.domain["test"]
    limit = summary.domain["limit"]
    values = {
        f"{units} of a training row": f"{training['shortest']:,} to {training['longest']:,}",
        "letters of the training rows": training["letters"],
        "largest distance within the domain": "not judged" if limit is None else f"{limit:.3g}",
        "test rows outside the domain": f"{test['out_of_domain']:,} of {test['rows']:,}",
        **{
            f"outside by {reason}": f"{test[reason]:,}"
            for reason in REASONS
            if reason != DISTANCE or limit is not None
        },
    }
    return Pairs(title="Domain of training", values=values)


def _called(model: str) -> str:
    """Return the name of a model, or the last part of its path, because folders may name a person."""
    return Path(model).name if Path(model).is_absolute() else model


def _measure_name(measure: str) -> str:
    """Return a measure's name for people."""
    return MEASURE_NAMES.get(measure, measure)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
