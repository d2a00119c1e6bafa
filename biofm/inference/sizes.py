"""How large an output becomes, by format, and the unfinished work beside it."""

import numpy as np
from numpy.typing import NDArray

from biofm.core.outputs.h5ad import CHUNK_BYTES, N_CHUNK_LABELS
from biofm.inference.survey import Survey

FLOAT_BYTES = 4
NUMBER_BYTES = 8


def output_bytes(survey: Survey, values: NDArray[np.float32], *, per_residue: bool) -> dict[str, int]:
    """The size of each format's file. ``values``: some rows of what will be in it, (rows, d)."""
    d_model = values.shape[1]
    n_rows = survey.n_residues if per_residue else survey.n_sequences
    floats = FLOAT_BYTES * n_rows * d_model
    ids = survey.id_bytes
    row_ids = ids * survey.n_residues // max(1, survey.n_sequences) if per_residue else ids
    arrays = floats + NUMBER_BYTES * survey.n_sequences + survey.cell_bytes
    row_cells = survey.cell_bytes * n_rows // max(1, survey.n_sequences)
    return {
        ".h5ad": _h5ad(n_rows, d_model, row_ids, per_residue) + row_cells,
        ".parquet": floats + (0 if per_residue else NUMBER_BYTES // 2 * n_rows) + ids + survey.cell_bytes,
        ".npz": arrays + 4 * survey.longest_id * survey.n_sequences,
        ".safetensors": arrays + NUMBER_BYTES * survey.n_sequences + ids,
        ".csv": n_rows * (_text_bytes(values) + (10 if per_residue else 5)) + row_ids + row_cells,
    }


def scratch_bytes(survey: Survey, d_model: int, *, per_residue: bool) -> int:
    """The journal: the rows of every different sequence, their keys twice (in an index too), the records."""
    n_rows = survey.unique_residues if per_residue else survey.n_unique
    n_text_bytes = survey.id_bytes + survey.cell_bytes
    return FLOAT_BYTES * d_model * n_rows + 80 * survey.n_unique + 50 * survey.n_sequences + n_text_bytes


def _h5ad(n_rows: int, d_model: int, row_ids: int, per_residue: bool) -> int:
    """Chunks are whole; a text takes 16 bytes where it stands, and 16 and its own, in eights, in a heap."""
    n_chunk_rows = max(1, CHUNK_BYTES // (FLOAT_BYTES * d_model))
    values = -(-n_rows // n_chunk_rows) * n_chunk_rows * d_model * FLOAT_BYTES
    n_labels = -(-n_rows // N_CHUNK_LABELS) * N_CHUNK_LABELS
    texts = (2 if per_residue else 1) * (16 * n_labels + 20 * n_rows + row_ids)
    numbers = (2 if per_residue else 1) * NUMBER_BYTES * n_labels
    return values + texts + numbers + 32 * d_model


def _text_bytes(values: NDArray[np.float32]) -> float:
    """Of a row of numbers, each with its comma."""
    some = values[:: max(1, len(values) // 50)]
    return sum(len(str(value)) + 1 for value in some.ravel()) / len(some)
