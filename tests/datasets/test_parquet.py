"""A Parquet file is read in bounded memory, whatever is stored in it."""

import io
from collections.abc import Callable, Iterator

import pyarrow as pa
import pytest
from biofm_datasets import DataError, read_sequences
from biofm_datasets.table_parts import read_table
from biofm_datasets.tables import MOST_CHARACTERS
from pyarrow import parquet

from tests.datasets.conftest import parquet_bytes


def stored(columns: dict[str, object], *, as_arrow: bool = True) -> bytes:
    """The bytes of the file. ``as_arrow``: with Arrow's types, such as dictionaries, beside Parquet's."""
    options = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 28, "store_schema": as_arrow}
    return parquet_bytes(columns, **options)


def repeated(text: str, n_rows: int) -> "pa.DictionaryArray[pa.DataType, pa.DataType]":
    """The text in every row, stored once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * n_rows, pa.int32()), pa.array([text]))


def lists_of(text: str, n_rows: int) -> "pa.ListArray[pa.DataType]":
    return pa.ListArray.from_arrays(pa.array(range(n_rows + 1), pa.int32()), repeated(text, n_rows))


@pytest.mark.parametrize("column", [repeated, lists_of])
def test_a_long_text_that_is_stored_once_for_many_rows_comes_a_few_rows_at_a_time(
    column: Callable[[str, int], object],
) -> None:
    content = stored({"text": column("A" * 2_000_000, 2000), "seq": ["MKT"] * 2000}, as_arrow=False)
    assert len(content) < 2000  # 4 GB of text
    lengths = [len(part) for part in read_table(io.BytesIO(content), "x.parquet", n_rows=4096)]
    assert sum(lengths) == 2000
    assert max(lengths) * 2_000_000 <= MOST_CHARACTERS


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"\0" * 1_000_000] * 300, pa.binary(1_000_000)),
        pa.ListArray.from_arrays(pa.array(range(0, 301, 10), pa.int32()), repeated("A" * 500_000, 300)),
    ],
    ids=["of one length", "several in a row"],
)
def test_whatever_repeats_a_part_has_bounded_memory(column: "pa.Array[pa.DataType]") -> None:
    content = stored({"x": column}, as_arrow=False)
    assert len(content) < 2000
    for part in read_table(io.BytesIO(content), "x.parquet", n_rows=4096):
        assert sum(one.nbytes for one in part.columns if not isinstance(one, list)) <= MOST_CHARACTERS


@pytest.mark.parametrize("encoding", ["PLAIN", "DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_every_encoding_of_text_is_read(encoding: str) -> None:
    texts = [f"{'MKT' * i}A" for i in range(100)]
    sink = io.BytesIO()
    table = pa.table({"seq": texts})
    parquet.write_table(table, sink, use_dictionary=False, column_encoding={"seq": encoding})
    records = read_sequences(io.BytesIO(sink.getvalue()), "x.parquet", column="seq")
    assert [record.sequence for record in records] == texts


def test_groups_of_a_few_rows_come_together() -> None:
    sink = io.BytesIO()
    codes = pa.array([f"c{i % 3}" for i in range(100)]).dictionary_encode()
    table = pa.table({"seq": [f"{'MKT' * i}A" for i in range(100)], "code": codes})
    parquet.write_table(table, sink, row_group_size=9)
    (part,) = read_table(io.BytesIO(sink.getvalue()), "x.parquet", n_rows=4096)
    assert part.texts("seq") == table["seq"].to_pylist()
    assert part.texts("code") == table["code"].to_pylist()


def test_rows_are_all_there_and_in_order_where_they_come_a_few_at_a_time() -> None:
    ids = [f"p{i}" for i in range(500)]
    content = stored({"id": ids, "seq": repeated("A" * 1_000_000, 500)}, as_arrow=False)
    records = read_sequences(io.BytesIO(content), "x.parquet", column="seq")
    assert [(record.id, record.number) for record in records] == [
        (id_, number) for number, id_ in enumerate(ids, start=1)
    ]


def tables(content: bytes) -> Iterator[object]:
    return read_table(io.BytesIO(content), "x.parquet", n_rows=100)


def sequences(content: bytes) -> Iterator[object]:
    return read_sequences(io.BytesIO(content), "x.parquet", column="seq", id_column="at")


LONG = ["A", "A" * 10_000_001]
TOO_LONG = {"at": ["a", "b"], "seq": LONG}
TOO_LONG_LARGE = {"at": ["a", "b"], "seq": pa.array(LONG, pa.large_string())}
IN_ANOTHER_ERA = {"at": pa.array([1, 2**31 - 1], pa.int32()).cast(pa.date32()), "seq": ["A", "B"]}
OF_ANOTHER_PLACE = {"at": pa.array([1, 2], pa.timestamp("us", "Moon/Base")), "seq": ["A", "B"]}


@pytest.mark.parametrize("read", [tables, sequences])
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (TOO_LONG, r"rows 1 to 2, column 'seq': this cell is longer than 10,000,000"),
        (TOO_LONG_LARGE, r"rows 1 to 2, column 'seq': this cell is longer than 10,000,000"),
        (IN_ANOTHER_ERA, r"rows 1 to 2: column 'at' holds times that Python cannot represent \(days="),
        (OF_ANOTHER_PLACE, r"rows 1 to 2: column 'at' holds times that Python cannot represent \("),
    ],
)
def test_a_cell_that_cannot_be_taken_is_named_with_its_rows(
    columns: dict[str, object], message: str, read: Callable[[bytes], Iterator[object]]
) -> None:
    with pytest.raises(DataError, match=r"^x\.parquet, " + message):
        list(read(stored(columns)))
