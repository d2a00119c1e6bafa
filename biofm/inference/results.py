"""Results: this module describes embeddings and runs, and marks the empty rows of any output.

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
"""The notice that counts rows left empty."""
REASON = "reason"
"""The column of a table that says why a row is empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Holds embeddings in memory, in the order of the input.

    There is one row for each sequence or, with ``pool="none"``, one for each residue. With one row for each
    residue, the first ``n_residues[0]`` rows belong to the first sequence, the next ``n_residues[1]`` rows to
    the second, and so on.

    Attributes:
        ids: The id of each sequence.
        n_residues: The length of each sequence in residues.
        values: The rows, of shape (rows, d_model).
        provenance: How the embeddings were made.
        notices: What was changed, skipped or run unusually, as a phrase and how often it happened.
        columns: Further columns of the input by name, with one cell for each sequence.
    """

    ids: list[str]
    n_residues: list[int]
    values: NDArray[np.float32]
    provenance: ProvenanceFields
    notices: Mapping[str, int]
    columns: Mapping[str, Sequence[Cell]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedSummary:
    """Tells what an embedding run did; the embeddings themselves are in the file ``output``.

    Attributes:
        output: The path of the file.
        n_sequences: How many sequences the input has.
        n_residues: How many residues these have together.
        n_tokens: How many tokens the model processed in all sessions of the run.
        n_rows: How many rows the output has.
        n_dimensions: How many numbers a row has.
        seconds: How long the last session took.
        tokens_per_second: The speed of the last session.
        dtype_reason: Why the model ran in its dtype, in words.
        provenance: How the embeddings were made.
        notices: What was changed, skipped or run unusually, as a phrase and how often it happened.
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
    """Tells what a merge of shards did; the embeddings themselves are in the file ``output``.

    Attributes:
        output: The path of the file.
        n_shards: How many shards were merged.
        n_sequences: How many sequences the input has.
        n_unique: How many of them are different.
        n_residues: How many residues all sequences have together.
        n_rows: How many rows the output has.
        n_dimensions: How many numbers a row has.
        seconds: How long the merge took.
        provenance: How the embeddings were made.
        notices: What was changed or skipped when the input was read, as a phrase and how often it happened.
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
    """Return the columns with empty cells in the rows that have no value.

    Args:
        columns: The columns of a table by name.
        without: Marks the rows that are to be empty. If there are none, the columns stay as they are.
    """
    import pyarrow as pa  # slow to import, and only needed where a table is written
    import pyarrow.compute as pc

    if not without.any():
        return dict(columns)
    arrays = {name: pa.array(column) for name, column in columns.items()}
    return {name: pc.if_else(without, pa.scalar(None, it.type), it) for name, it in arrays.items()}


def reasons(without: NDArray[np.bool_], dtype: torch.dtype, on_error: str) -> dict[str, Any]:
    """Return the column that says why rows are empty, or no column if ``on_error`` is "stop".

    Args:
        without: Marks the rows that are empty.
        dtype: The dtype in which the model ran.
        on_error: "stop" or "skip". With "stop", no row can be empty.
    """
    import pyarrow as pa

    if on_error == "stop":
        return {}
    reason = describe_not_finite(dtype)
    return {REASON: pa.array([reason if it else None for it in without], pa.string())}
