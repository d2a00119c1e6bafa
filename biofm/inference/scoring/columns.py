"""Columns: this module makes the columns of scored rows, and packs them as bytes for a journal.

Packed columns are in Arrow's stream format, which keeps the type of every column.
"""

import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from biofm_datasets.parquet import check_times
from numpy.typing import NDArray

from biofm.core.tables import RENAMED, Columns, kept_apart
from biofm.inference.scoring.methods import Unscored, Variant
from biofm.inference.scoring.rows import Chunk
from biofm.inference.scoring.scorer import Scorer
from biofm.inference.scoring.scoring_model import Answer

if TYPE_CHECKING:
    import pyarrow

WHY = "biofm: why this row is empty"
"""The last column of the rows in a journal. The table has it, under another name, if it was made with
``on_error`` "skip", or if a row has no variant that can be scored."""

V5 = 4
"""The version of Arrow's message format since Arrow 1.0, as ``Message.fbs`` numbers it."""


def output_columns(
    chunk: Chunk, scorer: Scorer, names: Sequence[str], scores: NDArray[np.float32], notices: Counter[str]
) -> Columns:
    """Make the columns of a chunk's rows.

    They are those of the input, then the method, whether windows were needed, a score for each model
    (``names``), their mean, and ``WHY`` a score of the row is empty. ``scores`` has one row for each row with
    a variant, and one column for each model. A score that is NaN is left empty, and the mean with it, as are
    all scores of a row without a variant.
    """
    import pyarrow as pa  # slow to import, and every command imports this module

    variants = [row.variant for row in chunk.rows]
    is_empty = np.isnan(scores)
    of_all = np.full((len(variants), scores.shape[1]), np.nan, np.float32)
    of_all[[isinstance(variant, Variant) for variant in variants]] = scores
    mean = of_all.mean(1, dtype=np.float64).astype(np.float32)
    methods, are_windowed, reasons = zip(*_facts_of(variants, scorer, names, is_empty), strict=True)
    added = {
        "method": pa.array(methods, pa.string()),
        "windowed": pa.array(are_windowed, pa.bool_()),
        **{f"score_{name}": pa.array(of_all[:, model], from_pandas=True) for model, name in enumerate(names)},
        "score": pa.array(mean, from_pandas=True),
        WHY: pa.array(reasons, pa.string()),
    }
    apart = kept_apart(chunk.columns, added)
    notices[RENAMED] = sum(name not in apart for name in chunk.columns)
    return apart | added


def _facts_of(
    variants: Sequence[Variant | Unscored],
    scorer: Scorer,
    names: Sequence[str],
    are_empty: NDArray[np.bool_],
) -> Iterator[tuple[str | None, bool | None, str | None]]:
    """Yield the method of each row, whether a model read its protein in windows, and why a score is empty.

    Each is None where there is nothing to say. ``are_empty`` marks missing scores: one row for each row with
    a variant, and one column for each model.
    """
    empty = iter(are_empty)
    for variant in variants:
        if isinstance(variant, Unscored):
            yield None, None, variant.reason
        else:
            reason = scorer.reason(names, next(empty))
            yield variant.method(scorer.method), scorer.is_windowed(variant), reason


def pack_columns(columns: Columns) -> Answer:
    """Pack columns as bytes, in the array type that a journal keeps. As numbers they mean nothing."""
    import pyarrow as pa  # slow to import, and every command imports this module

    table = pa.table(dict(columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.float32)  # its length is a multiple of 8 bytes


def unpack_columns(packed: Answer) -> "pyarrow.Table":
    """Restore the columns that ``pack_columns`` packed. Raise ValueError for bytes that it cannot have made.

    Compressed bytes, which pyarrow would read too, are refused: in memory they may become a million times
    larger.
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
        if not _fits_tables(field.type):
            raise ValueError(f"the column {field.name!r} holds {field.type}")
        check_times(column, field.name)
    return table


def _check_plain(message: "pyarrow.Message") -> None:
    """Raise ValueError for a message that is compressed, or has an older format.

    An older format marks compression in another place. Both facts are in the metadata of the message, a
    FlatBuffer (https://github.com/apache/arrow/blob/main/format/Message.fbs).
    """
    content = message.metadata.to_pybytes()
    (root,) = struct.unpack_from("<I", content)
    version = _field(content, root, 0)
    if version is None or struct.unpack_from("<h", content, version) != (V5,):
        raise ValueError("it has an older format of Arrow")
    if message.type not in ("record batch", "dictionary"):
        return
    rows = _field(content, root, 2)
    if message.type == "dictionary":
        rows = _field(content, _table_at(content, rows), 1)
    if _field(content, _table_at(content, rows), 3) is not None:
        raise ValueError("it is compressed")


def _table_at(content: bytes, place: int | None) -> int:
    """Return the place where the FlatBuffer table begins to which the offset at ``place`` points."""
    if place is None:
        raise ValueError("a part of its metadata is missing")
    (offset,) = struct.unpack_from("<I", content, place)
    return place + int(offset)


def _field(content: bytes, table: int, number: int) -> int | None:
    """Return the place of a field in a FlatBuffer table; None if it is left out and has its default."""
    (back,) = struct.unpack_from("<i", content, table)
    begin = table - back
    (size,) = struct.unpack_from("<H", content, begin)
    if 4 + 2 * number >= size:
        return None
    (offset,) = struct.unpack_from("<H", content, begin + 4 + 2 * number)
    return table + offset if offset else None


def _fits_tables(kind: "pyarrow.DataType") -> bool:
    """Return whether a table file may hold a column of this type; Arrow has more types than CSV."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return _fits_tables(kind.value_type)
    if types.is_union(kind) or types.is_run_end_encoded(kind) or types.is_interval(kind):
        return False
    return all(_fits_tables(kind.field(i).type) for i in range(kind.num_fields))
