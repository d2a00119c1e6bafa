"""Tables read with all their columns, part by part."""

import io
from collections.abc import Callable

import pyarrow as pa
import pytest
from biofm_datasets import DataError
from biofm_datasets.table_parts import TablePart, read_table

from tests.datasets.conftest import parquet_bytes

CSV = b'mutant,DMS_score,note\nA1G,0.50,"a, b"\n\nC2D,-1.0,\nE3F,nan,"two\nlines"\n'


def parts(content: bytes, name: str = "v.csv", n_rows: int = 2) -> list[TablePart]:
    return list(read_table(io.BytesIO(content), name, n_rows=n_rows))


@pytest.mark.parametrize(
    ("name", "change"), [("v.csv", lambda text: text), ("v.tsv", lambda text: text.replace(b",", b"\t"))]
)
def test_cells_come_as_they_stand_and_rows_know_their_line(
    name: str, change: Callable[[bytes], bytes]
) -> None:
    content = change(CSV.replace(b"a, b", b"a b"))
    first, second = parts(content, name)
    assert first.names == ("mutant", "DMS_score", "note")
    assert first.columns == (["A1G", "C2D"], ["0.50", "-1.0"], ["a b", ""])
    assert [first.where(0), first.where(1), second.where(0)] == [
        f"{name}, line 2",
        f"{name}, line 4",
        f"{name}, line 6",
    ]
    assert second.texts("note") == ["two\nlines"]


def test_parquet_columns_keep_their_types() -> None:
    table = pa.table({"mutant": ["A1G", None, "E3F"], "score": pa.array([1.5, None, 2.0], pa.float32())})
    first, second = parts(parquet_bytes(table), "v.parquet")
    assert (len(first), len(second)) == (2, 1)
    assert first.texts("mutant") == ["A1G", ""]
    assert first.columns[1].type == pa.float32()
    assert second.where(0) == "v.parquet, row 3"


@pytest.mark.parametrize("is_parquet", [False, True])
def test_rows_can_be_left_out(is_parquet: bool) -> None:
    content, name = (
        (parquet_bytes({"mutant": ["A1G", "C2D", "E3F"]}), "v.parquet") if is_parquet else (CSV, "v.csv")
    )
    (part,) = parts(content, name, n_rows=10)
    left = part.take([0, 2])
    assert left.texts("mutant") == ["A1G", "E3F"]
    assert left.where(1) == ("v.parquet, row 3" if is_parquet else "v.csv, line 6")


@pytest.mark.parametrize(
    ("content", "name", "fault"),
    [
        (b"", "v.csv", "the file is empty"),
        (b"mutant\n", "v.csv", "no records in this table"),
        (b"mutant,score\nA1G\n", "v.csv", "this row has 1 cell, but the header has 2"),
        (b">a\nMKT\n", "v.fasta", "this is FASTA, not a table"),
        (b">a\nMKT\n", "-", "this is FASTA, not a table"),
        (
            parquet_bytes({"mutant": pa.array([], pa.string())}),
            "v.parquet",
            "no records in this table",
        ),
        (parquet_bytes({"mutant": ["A1G"]})[:-20], "v.parquet", "this Parquet file cannot be read"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_clear_error(content: bytes, name: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        parts(content, name)


def test_a_column_that_is_not_there_is_an_error_that_lists_the_others() -> None:
    (part,) = parts(CSV, n_rows=10)
    with pytest.raises(DataError, match=r"no column 'variant'\. The columns are: mutant, DMS_score, note"):
        part.texts("variant")
