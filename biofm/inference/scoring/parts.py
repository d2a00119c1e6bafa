"""Columns of some rows as bytes that a journal can keep, and back: Arrow's stream format keeps every type."""

from typing import TYPE_CHECKING

import numpy as np

from biofm.core.tables import Columns
from biofm.inference.scoring.readings import Answer

if TYPE_CHECKING:
    import pyarrow


def pack_columns(columns: Columns) -> Answer:
    """The columns as what a journal takes for an answer; its bytes are no numbers here."""
    import pyarrow as pa  # heavy: this module is imported with every command

    table = pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.float32)  # its length is a multiple of 8 bytes


def unpack_columns(packed: Answer) -> "pyarrow.Table":
    """What ``pack_columns`` was given. Raises ValueError where it cannot be."""
    import pyarrow as pa

    try:
        table = pa.ipc.open_stream(pa.py_buffer(packed.tobytes())).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error
    return table
