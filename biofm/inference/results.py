"""What embedding gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from biofm_datasets import Cell
from numpy.typing import NDArray

from biofm.core.outputs import ProvenanceFields


@dataclass(frozen=True, slots=True, kw_only=True)
class Embeddings:
    """Rows in the order of the input: one a sequence, or, with ``pool="none"``, one a residue.

    ``values``: float32, shape (rows, d_model). Residues of sequence i are the ``n_residues[i]`` rows behind
    those of the ones before it. ``notices`` counts everything that was changed, skipped or run unusually.
    ``columns``: what travelled with the sequences, by name, one cell each.
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

    ``n_tokens`` went through the model in all sessions of the run; ``seconds`` and ``tokens_per_second`` are
    of the last one.
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
    """What the shards of a run held together. ``notices`` are those of reading their input."""

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
