"""Columns of some rows as bytes that a journal can keep, and back: Arrow's stream format keeps every type."""

import struct
from typing import TYPE_CHECKING

import numpy as np
from biofm_datasets.parquet import check_times

from biofm.core.tables import Columns
from biofm.inference.scoring.readings import Answer

if TYPE_CHECKING:
    import pyarrow

V5 = 4
"""Of Arrow's format of messages, since 1.0, in the numbers of ``Message.fbs``."""


def pack_columns(columns: Columns) -> Answer:
    """The columns as what a journal takes for an answer; its bytes are no numbers here."""
    import pyarrow as pa  # heavy: this module is imported with every command

    table = pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.float32)  # its length is a multiple of 8 bytes


def unpack_columns(packed: Answer) -> "pyarrow.Table":
    """What ``pack_columns`` was given. Raises ValueError where it cannot be.

    Only what is as large in memory as it is here: a compressed part, which pyarrow would read too, may be a
    million times as large.
    """
    import pyarrow as pa

    buffer = pa.py_buffer(packed.tobytes())
    try:
        for message in pa.ipc.MessageReader.open_stream(buffer):
            _check_plain(message)
        table = pa.ipc.open_stream(buffer).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, struct.error) as error:
        raise ValueError(str(error)) from error
    for field, column in zip(table.schema, table.columns, strict=True):
        if not _is_of_tables(field.type):
            raise ValueError(f"the column {field.name!r} holds {field.type}")
        check_times(column, field.name)
    return table


def _check_plain(message: "pyarrow.Message") -> None:
    """Raise ValueError for a message of an older format, where compression has another place, and for rows
    whose body is compressed: fields of its metadata, which are a FlatBuffer
    (https://github.com/apache/arrow/blob/main/format/Message.fbs).
    """
    content = message.metadata.to_pybytes()
    (root,) = struct.unpack_from("<I", content)
    version = _field(content, root, 0)
    if version is None or struct.unpack_from("<h", content, version) != (V5,):
        raise ValueError("it is of an older format of Arrow")
    if message.type not in ("record batch", "dictionary"):
        return
    rows = _field(content, root, 2)
    if message.type == "dictionary":
        rows = _field(content, _table_at(content, rows), 1)
    if _field(content, _table_at(content, rows), 3) is not None:
        raise ValueError("it is compressed")


def _table_at(content: bytes, place: int | None) -> int:
    """Where the table begins to which the offset at ``place`` leads."""
    if place is None:
        raise ValueError("a part of its metadata is missing")
    (offset,) = struct.unpack_from("<I", content, place)
    return place + int(offset)


def _field(content: bytes, table: int, number: int) -> int | None:
    """Where a field of a table stands; None where it has its default."""
    (back,) = struct.unpack_from("<i", content, table)
    begin = table - back
    (size,) = struct.unpack_from("<H", content, begin)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", content, begin + 4 + 2 * number)
    return table + offset if offset else None


def _is_of_tables(kind: "pyarrow.DataType") -> bool:
    """Whether a table may hold it; of all that Arrow knows, these are none that Parquet or CSV know."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _is_of_tables(kind.value_type)
    if types.is_union(kind) or types.is_run_end_encoded(kind) or types.is_interval(kind):
        return False
    return all(_is_of_tables(kind.field(i).type) for i in range(kind.num_fields))
