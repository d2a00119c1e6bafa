"""Columns of rows in a journal come back with their types; what only a stranger writes is refused."""

import numpy as np
import pyarrow as pa
import pytest

from biofm.inference.scoring.columns import pack_columns, unpack_columns
from biofm.inference.scoring.scoring_model import Answer

TABLE = pa.table(
    {
        "text": pa.array(["x", None]),
        "one of few": pa.array(["x", "y"]).dictionary_encode(),
        "list": pa.array([[1], [2, 3]]),
        "day": pa.array([1, None], pa.int32()).cast(pa.date32()),
        "number": pa.array([0.5, 1.5], pa.float32()),
    }
)


def stream_of(
    table: pa.Table, compression: str | None, version: pa.ipc.MetadataVersion = pa.ipc.MetadataVersion.V5
) -> Answer:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression, metadata_version=version)
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    content = sink.getvalue().to_pybytes()
    return np.frombuffer(content + b"\0" * (-len(content) % 4), np.float32)


def test_columns_come_back_with_their_types() -> None:
    columns = dict(zip(TABLE.column_names, TABLE.columns, strict=True))
    assert unpack_columns(pack_columns(columns)).equals(TABLE)
    assert unpack_columns(stream_of(TABLE, None)).equals(TABLE)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
@pytest.mark.parametrize(
    "table",
    [
        TABLE,
        pa.table({"zeros": np.zeros(1_000_000)}),
        pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0]), pa.array(["A" * 1_000_000]))}),
    ],
    ids=["several", "numbers", "a dictionary"],
)
def test_a_compressed_part_is_refused_before_it_is_unpacked(table: pa.Table, compression: str) -> None:
    with pytest.raises(ValueError, match="it is compressed"):
        unpack_columns(stream_of(table, compression))


def test_an_older_format_is_refused() -> None:
    """Which had a place of its own for compression."""
    with pytest.raises(ValueError, match="older format"):
        unpack_columns(stream_of(TABLE, None, pa.ipc.MetadataVersion.V4))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (
            pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1]), pa.array(["a"])]),
            "holds sparse_union",
        ),
        (pa.RunEndEncodedArray.from_arrays([1], [1]), "holds run_end_encoded"),
        (pa.array([None], pa.month_day_nano_interval()), "holds month_day_nano_interval"),
        (pa.array([2**31 - 1], pa.int32()).cast(pa.date32()), "times that Python cannot represent"),
        (
            pa.DictionaryArray.from_arrays(
                pa.array([0]), pa.array([2**31 - 1], pa.int32()).cast(pa.date32())
            ),
            "times that Python cannot represent",
        ),
        (pa.array([[1]], pa.list_(pa.timestamp("us", "Moon/Base"))), "times that Python cannot represent"),
    ],
)
def test_a_column_of_a_kind_that_no_table_has_is_refused(column: pa.Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack_columns(pack_columns({"x": column}))


@pytest.mark.parametrize("end", [4, 40, 200])
def test_a_part_that_is_cut_off_is_refused(end: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack_columns(stream_of(TABLE, None)[: end // 4])
