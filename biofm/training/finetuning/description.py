"""The rows of a fine-tuning in figures: what each part is for, how long its sequences are, what is known."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from biofm.evaluation.supervised import UNKNOWN, LabelledTable, Labels
from biofm.report.run import Cell, Table
from biofm.training.finetuning.plan import Plan

MOST_ROWS = 40  # of a table of targets or classes


def describe_table(table: LabelledTable, plan: Plan) -> tuple[Table, ...]:
    """The parts, and the truth in each. Of several folds, those of the first one stand for all."""
    first = plan.members[0]
    n_folds = len({member.fold for member in plan.members})
    of = f" of fold 1 of {n_folds}" if n_folds > 1 else ""
    parts = {f"training{of}": first.train, f"validation{of}": first.validation}
    parts |= {name: judged.rows for name, judged in plan.judged.items()}
    labels = {name: table.labels.take(rows) for name, rows in parts.items()}
    truth = _classes(labels) if table.labels.classes else _numbers(labels)
    return (_parts(table, parts), truth)


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
    """Of each target in each part: how many values are known, and where they lie."""
    rows: list[tuple[Cell, ...]] = []
    for part, labels in parts.items():
        for target, values in zip(labels.targets, labels.numbers.T, strict=True):
            known = values[~np.isnan(values)]
            found = [known.mean(), known.std(), known.min(), known.max()] if len(known) else [None] * 4
            rows.append((target, part, len(known), *(None if it is None else float(it) for it in found)))
    header = ("target", "part", "known", "mean", "standard deviation", "lowest", "highest")
    return _cut(Table(title="Targets", header=header, rows=rows))


def _classes(parts: Mapping[str, Labels]) -> Table:
    """How often each class is the truth in each part."""
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
