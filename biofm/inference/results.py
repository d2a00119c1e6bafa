"""Results: embeddings, the summaries of runs that wrote some, and the rows that stay empty in any output.

A row stays empty where the model's numbers for it are not finite and ``on_error`` is "skip".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from biofm_datasets import Cell
from numpy.typing import NDArray

from biofm.core.outputs import ProvenanceFields
from biofm.models.finiteness import describe_not_finite

EMPTY_ROWS = "rows left empty, because the model's numbers are not finite"
"""The notice that counts them."""
REASON = "reason"
"""The column of a table that says why a row is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Rows in the order of the input: one a sequence, or, with ``pool="none"``, one a residue.

    ``values``: float32, (rows, d_model). With one row a residue, the first ``n_residues[0]`` rows are those
    of the first sequence, the next ``n_residues[1]`` those of the second, and so on. ``notices`` counts
    everything that was changed, skipped or run unusually. ``columns``: further columns of the input, by name,
    with one cell a sequence.
    """

    ids: list[str]
    n_residues: list[int]
    values: NDArray[np.float32]
    provenance: ProvenanceFields
    notices: Mapping[str, int]
    columns: Mapping[str, Sequence[Cell]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSummary:
    """What a run from file to file did; the embeddings themselves are in ``output``.

    ``n_tokens`` counts what went through the model in all sessions of the run; ``seconds`` and
    ``tokens_per_second`` are those of the last session.
    """

    output: str
    n_sequences: int
    n_residues: int
    n_tokens: int
    n_rows: int
    n_dimensions: int
    seconds: float
    tokens_per_second: float
    dtype_reason: str
    provenance: ProvenanceFields
    notices: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeSummary:
    """What the shards of a run held together. ``notices`` are those of reading the input.

    ``n_unique`` counts different sequences.
    """

    output: str
    n_shards: int
    n_sequences: int
    n_unique: int
    n_residues: int
    n_rows: int
    n_dimensions: int
    seconds: float
    provenance: ProvenanceFields
    notices: Mapping[str, int]


def emptied(columns: Mapping[str, Any], without: NDArray[np.bool_]) -> dict[str, Any]:
    """The columns without a value in the rows ``without``; the same columns where there is no such row."""
    import pyarrow as pa  # heavy, and needed only where a table is written
    import pyarrow.compute as pc

    if not without.any():
        return dict(columns)
    arrays = {name: pa.array(column) for name, column in columns.items()}
    return {name: pc.if_else(without, pa.scalar(None, it.type), it) for name, it in arrays.items()}


def reasons(without: NDArray[np.bool_], dtype: torch.dtype, on_error: str) -> dict[str, Any]:
    """The column that says why the rows ``without`` are empty; none where ``on_error`` is "stop"."""
    import pyarrow as pa

    if on_error == "stop":
        return {}
    reason = describe_not_finite(dtype)
    return {REASON: pa.array([reason if it else None for it in without], pa.string())}
