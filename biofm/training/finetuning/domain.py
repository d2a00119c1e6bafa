"""What a predictor keeps of the rows that trained it, so that it can tell of others how far they lie."""

from collections.abc import Iterator

import numpy as np
from biofm_datasets.arrays import Floats, Indices
from numpy.typing import NDArray

from biofm.evaluation.supervised import LabelledTable, units_of
from biofm.inference.prediction import Answer, Domain, Nearest, describe_training, mean_of_residues
from biofm.inference.prediction.nearest import MOST_KEPT
from biofm.training.finetuning.plan import MemberPlan, Plan

_FOR_DOMAIN = 2  # a stream of random numbers of its own
ROWS_AT_ONCE, ROWS_OF_RESIDUES_AT_ONCE = 4096, 64


def reference_rows(table: LabelledTable, member: MemberPlan) -> Indices:
    """Rows that train the member, of different sequences: all, or so many drawn at random."""
    _, first = np.unique(np.array([table.sequences[row] for row in member.train], object), return_index=True)
    rows = member.train[np.sort(first)]
    if len(rows) <= MOST_KEPT:
        return rows
    return np.sort(np.random.default_rng((member.seed, _FOR_DOMAIN)).choice(rows, MOST_KEPT, replace=False))


def nearest_of(vectors: Floats, rows: Indices, offsets: Indices | None) -> Nearest:
    """``vectors``: of all rows of a table or, by ``offsets``, of their residues."""
    return Nearest.of(np.concatenate(list(_vectors(vectors, rows, offsets))))


def distances_of(
    nearest: Nearest, vectors: Floats, rows: Indices, offsets: Indices | None
) -> NDArray[np.float64]:
    """Of these rows, in their order."""
    parts = [nearest.distances(part) for part in _vectors(vectors, rows, offsets)]
    return np.concatenate([np.empty(0), *parts])


def find_domain(table: LabelledTable, plan: Plan, held_out: Answer) -> Domain:
    """``held_out``: what the first member, whose rows the distances are to, says of its own."""
    seen = np.unique(np.concatenate([part for it in plan.members for part in (it.train, it.validation)]))
    distances = np.empty(0) if held_out.distances is None else np.sort(held_out.distances)
    return Domain(describe_training([table.units(row) for row in seen]), distances)


def _vectors(vectors: Floats, rows: Indices, offsets: Indices | None) -> Iterator[NDArray[np.floating]]:
    """Some rows at a time, one vector each: of residues their mean."""
    n_at_once = ROWS_AT_ONCE if offsets is None else ROWS_OF_RESIDUES_AT_ONCE
    for begin in range(0, len(rows), n_at_once):
        part = rows[begin : begin + n_at_once]
        if offsets is None:
            yield np.asarray(vectors[part])
        else:
            yield mean_of_residues(np.asarray(vectors[units_of(part, offsets)]), np.diff(offsets)[part])
