"""Rows that stay empty, because the model's numbers are not finite, and how an output says so."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from biofm.models.finiteness import reason_of

EMPTY_ROWS = "rows left empty, because the model's numbers are not finite"
REASON = "reason"


def emptied(columns: Mapping[str, Any], without: NDArray[np.bool_]) -> dict[str, Any]:
    """The columns without a value in the rows ``without``; as they are where there is no such row."""
    import pyarrow as pa  # heavy: this module is imported with every command
    import pyarrow.compute as pc

    if not without.any():
        return dict(columns)
    arrays = {name: pa.array(column) for name, column in columns.items()}
    return {name: pc.if_else(without, pa.scalar(None, it.type), it) for name, it in arrays.items()}


def reasons(without: NDArray[np.bool_], dtype: torch.dtype, on_error: str) -> dict[str, Any]:
    """The column that says why a row is empty, in a table that may have such rows."""
    import pyarrow as pa

    if on_error == "stop":
        return {}
    reason = reason_of(dtype)
    return {REASON: pa.array([reason if it else None for it in without], pa.string())}
