"""Predictions of a fine-tuning beside the truth, as pictures of its report."""

import io

import numpy as np
from numpy.typing import NDArray

from biofm.evaluation.supervised import UNKNOWN, LabelledTable, Labels
from biofm.report import ScatterPanel, draw_confusion, draw_scatter
from biofm.report.run import Picture
from biofm.training.finetuning.judging import Findings
from biofm.training.finetuning.plan import Plan

MOST_PANELS = 9


def draw_predictions(table: LabelledTable, plan: Plan, findings: Findings) -> tuple[Picture, ...]:
    """Of each judged set: numbers against numbers, or which class was taken for which."""
    pictures = []
    for name, combined in findings.answers.items():
        labels = table.labels.take(plan.judged[name].rows)
        if labels.task == "regression":
            model = findings.judgements[name].rows[0]
            measures = model.by_target or {labels.targets[0]: model.measures}
            ranks = [measures[target]["spearman"].value for target in labels.targets]
            pictures.append(_draw_numbers(name, labels, combined.outputs, ranks))
        elif labels.classes:
            units = f"{table.modality.words.units} of the" if labels.task == "per-residue" else "the"
            pictures.append(_draw_classes(name, units, labels, combined.outputs.argmax(1)))
    return tuple(pictures)


def _draw_numbers(
    name: str, labels: Labels, outputs: NDArray[np.floating], ranks: list[float | None]
) -> Picture:
    panels = []
    for i, target in enumerate(labels.targets[:MOST_PANELS]):
        is_known = ~np.isnan(labels.numbers[:, i])
        found, truth = outputs[is_known, i].astype(np.float64), labels.numbers[is_known, i]
        panels.append(ScatterPanel(target, found, truth, ranks[i]))
    handle = io.BytesIO()
    draw_scatter(panels, "measured", handle, ".png", score_name="predicted")
    more = len(labels.targets) - len(panels)
    caption = f"Predicted and measured values of the {name} rows" + (f"; {more} more targets" if more else "")
    told = ", ".join(f"{panel.name}: Spearman {_number(panel.spearman)}" for panel in panels)
    return Picture(png=handle.getvalue(), caption=f"{caption}.", description=f"{caption}. {told}.")


def _draw_classes(name: str, units: str, labels: Labels, predicted: NDArray[np.int64]) -> Picture:
    """``units`` goes before the name of the rows."""
    is_known = labels.codes != UNKNOWN
    n = len(labels.classes)
    cells = labels.codes[is_known] * n + predicted[is_known]
    counts = np.bincount(cells, minlength=n * n).reshape(n, n)
    handle = io.BytesIO()
    draw_confusion(counts, labels.classes, handle, ".png")
    caption = f"Which class was taken for which, of {units} {name} rows."
    right = counts.trace() / max(1, counts.sum())
    description = f"{caption} {right:.1%} were taken for what they are."
    return Picture(png=handle.getvalue(), caption=caption, description=description)


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
