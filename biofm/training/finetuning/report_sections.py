"""Sections of a fine-tuning's report: tables describe the rows, and pictures show the predictions."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
from biofm_datasets.arrays import Floats
from biofm_datasets.text import format_count
from numpy.typing import NDArray

from biofm.evaluation import IntervalEstimate
from biofm.evaluation.supervised import UNKNOWN, LabelledTable, Labels
from biofm.inference.prediction import Combined
from biofm.report import ScatterPanel, draw_confusion, draw_scatter
from biofm.report.run import Cell, Picture, Table
from biofm.training.finetuning.findings import Findings
from biofm.training.finetuning.members import FinetuneRun
from biofm.training.finetuning.plan import TEST_ROWS, Plan

MOST_ROWS = 40  # most rows of a table of targets or classes
MOST_PANELS = 9


def describe_rows(table: LabelledTable, plan: Plan) -> tuple[Table, ...]:
    """Describe the parts of the table (training, validation, judged) and their measured values.

    If there are several folds, only the first one is described.
    """
    first = plan.members[0]
    n_folds = len({member.fold for member in plan.members})
    of = f" of fold 1 of {n_folds}" if n_folds > 1 else ""
    parts = {f"training{of}": first.train, f"validation{of}": first.validation}
    parts |= {name: judged.rows for name, judged in plan.judged.items()}
    labels = {name: table.labels.take(rows) for name, rows in parts.items()}
    truth = _classes(labels) if table.labels.classes else _numbers(labels)
    return (_parts(table, parts), truth)


def draw_predictions(run: FinetuneRun, findings: Findings) -> tuple[Picture, ...]:
    """Draw a picture of each judged set: predicted against measured numbers, or a confusion matrix."""
    table, pictures = run.table, []
    for name, combined in findings.answers.items():
        labels = table.labels.take(run.plan.judged[name].rows)
        if labels.task == "regression":
            model = findings.judgements[name].rows[0]
            measures = model.by_target or {labels.targets[0]: model.measures}
            ranks = [measures[target]["spearman"] for target in labels.targets]
            widths = _half_widths(run, findings, name, combined)
            panels = _panels(labels, combined.outputs, ranks, widths)
            pictures.append(_draw_numbers(name, len(labels.targets), panels, run))
        elif labels.classes:
            units = f"{table.modality.words.units} of the" if labels.task == "per-residue" else "the"
            pictures.append(_draw_classes(name, units, labels, combined.outputs.argmax(1), run.info.model))
    return tuple(pictures)


def _parts(table: LabelledTable, parts: Mapping[str, NDArray[np.int64]]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, members in parts.items():
        lengths = np.array([len(table.units(row)) for row in members])
        found = np.quantile(lengths, [0, 0.5, 1]).tolist() if len(lengths) else [None] * 3
        rows.append((name, len(members), *(None if it is None else round(it) for it in found)))
    header = ("part", "rows", "shortest", "median", "longest")
    units = table.modality.words.units
    return Table(title="Parts and lengths", header=header, rows=rows, note=f"Lengths in {units}.")


def _numbers(parts: Mapping[str, Labels]) -> Table:
    """Make the table of each target's known values in each part, with their mean, spread and range."""
    rows: list[tuple[Cell, ...]] = []
    for part, labels in parts.items():
        for target, values in zip(labels.targets, labels.numbers.T, strict=True):
            known = values[~np.isnan(values)]
            found = [known.mean(), known.std(), known.min(), known.max()] if len(known) else [None] * 4
            rows.append((target, part, len(known), *(None if it is None else float(it) for it in found)))
    header = ("target", "part", "known", "mean", "standard deviation", "lowest", "highest")
    return _cut(Table(title="Targets", header=header, rows=rows))


def _classes(parts: Mapping[str, Labels]) -> Table:
    """Make the table of how often each class occurs in each part."""
    classes = next(iter(parts.values())).classes
    counts = [
        np.bincount(labels.codes[labels.codes != UNKNOWN], minlength=len(classes))
        for labels in parts.values()
    ]
    rows: list[tuple[Cell, ...]] = [
        (name, *(int(of_part[i]) for of_part in counts)) for i, name in enumerate(classes)
    ]
    return _cut(Table(title="Classes", header=("class", *parts), rows=rows))


def _cut(table: Table) -> Table:
    n = len(table.rows)
    note = f"The first {MOST_ROWS} of {n:,}." if n > MOST_ROWS else ""
    return Table(title=table.title, header=table.header, rows=table.rows[:MOST_ROWS], note=note)


def _half_widths(run: FinetuneRun, findings: Findings, name: str, combined: Combined) -> Floats | None:
    """Return half the widths of the intervals of the test rows, (rows, targets); None for other rows."""
    if name != TEST_ROWS or not findings.calibration.intervals:
        return None
    spread = np.zeros_like(combined.outputs) if combined.spread is None else combined.spread
    return findings.calibration.half_widths(run.recipe.coverage, spread)


def _panels(
    labels: Labels,
    outputs: NDArray[np.floating],
    ranks: Sequence[IntervalEstimate],
    widths: Floats | None,
) -> list[ScatterPanel]:
    """Return a panel for each of the first targets, with the rows whose measurement is known."""
    panels = []
    for i, target in enumerate(labels.targets[:MOST_PANELS]):
        is_known = ~np.isnan(labels.numbers[:, i])
        found, truth = outputs[is_known, i].astype(np.float64), labels.numbers[is_known, i]
        width = None if widths is None else widths[is_known, i]
        panels.append(ScatterPanel(target, found, truth, ranks[i].value, ranks[i].bounds, width))
    return panels


def _draw_numbers(name: str, n_targets: int, panels: Sequence[ScatterPanel], run: FinetuneRun) -> Picture:
    """Draw the predicted against the measured values, with the line on which they are equal."""
    handle = io.BytesIO()
    draw_scatter(
        panels,
        "measured value",
        handle,
        ".png",
        score_name="predicted value",
        has_diagonal=True,
        interval_name=f"{run.recipe.coverage:.0%} prediction interval",
        models=[run.info.model],
    )
    more = n_targets - len(panels)
    caption = f"Predicted and measured values of the {name} rows"
    caption += f"; {format_count(more, 'more target')} not shown" if more else ""
    told = ", ".join(f"{panel.name}: Spearman {_number(panel.spearman)}" for panel in panels)
    return Picture(png=handle.getvalue(), caption=f"{caption}.", description=f"{caption}. {told}.")


def _draw_classes(name: str, units: str, labels: Labels, predicted: NDArray[np.int64], model: str) -> Picture:
    """Draw a confusion matrix. ``units`` goes before the name of the rows in the caption."""
    is_known = labels.codes != UNKNOWN
    n = len(labels.classes)
    cells = labels.codes[is_known] * n + predicted[is_known]
    counts = np.bincount(cells, minlength=n * n).reshape(n, n)
    handle = io.BytesIO()
    draw_confusion(counts, labels.classes, handle, ".png", models=[model])
    caption = f"Predicted and true classes of {units} {name} rows."
    right = counts.trace() / max(1, counts.sum())
    description = f"{caption} {right:.1%} of the predictions are right."
    return Picture(png=handle.getvalue(), caption=caption, description=description)


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
