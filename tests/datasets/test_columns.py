"""Columns of numbers and of texts, from every kind of table."""

import io
import math
from collections.abc import Sequence

import pyarrow as pa
import pytest
from biofm_datasets import DataError
from biofm_datasets.columns import Columns, find_numeric_columns, read_columns

from tests.datasets.conftest import parquet_bytes

CSV = b"name,fitness,score\na,1.5,-2\nb,,3e-1\n c ,NaN, 7 \n"


def read(
    content: bytes, name: str = "x.csv", numbers: Sequence[str] = ("fitness",), texts: Sequence[str] = ()
) -> Columns:
    return read_columns(io.BytesIO(content), name, numbers=numbers, texts=texts)


def test_numbers_and_texts_come_with_the_place_of_their_row() -> None:
    columns = read(CSV, numbers=["score", "fitness"], texts=["name"])
    assert columns.numbers["score"].tolist() == [-2, 0.3, 7]
    assert columns.texts == {"name": ["a", "b", "c"]}
    assert columns.where(2) == "x.csv, line 4"


@pytest.mark.parametrize("cell", ["", " ", "NaN", "nan", "NA", "n/a", "None", "null", "<NA>"])
def test_what_programs_write_for_nothing_is_nan(cell: str) -> None:
    values = read(f"name,fitness\na,{cell}\nb,1\n".encode()).numbers["fitness"]
    assert math.isnan(values[0])
    assert values[1] == 1


def test_parquet_columns_of_any_kind_are_read() -> None:
    content = parquet_bytes(
        {
            "fitness": pa.array([1.5, None, math.nan], pa.float32()),
            "score": [1, 2, 3],
            "text": ["4", "", "5.5"],
            "is": [True, False, True],
        }
    )
    columns = read(content, "x.parquet", numbers=["fitness", "score", "text"], texts=["is"])
    assert columns.numbers["fitness"][0] == 1.5
    assert [math.isnan(value) for value in columns.numbers["fitness"]] == [False, True, True]
    assert columns.numbers["score"].tolist() == [1, 2, 3]
    assert columns.numbers["text"][2] == 5.5
    assert columns.texts["is"] == ["True", "False", "True"]
    assert columns.where(0) == "x.parquet, row 1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CSV + b"d,high,1\n", "x.csv, line 5, column 'fitness': 'high' is no number. Correct the cell"),
        (CSV + b"d,1;5,1\n", "x.csv, line 5, column 'fitness': '1;5' is no number."),
        (
            CSV + b'd,"1,5",1\n',
            "x.csv, line 5, column 'fitness': '1,5' is no number. Write a decimal point: 1.5",
        ),
        (
            CSV + b'd,"1,500",1\n',
            "x.csv, line 5, column 'fitness': '1,500' is no number. "
            "Write a decimal point: 1.500; or 1500, if the comma separates thousands",
        ),
        (CSV + b"d,1_000,1\n", "x.csv, line 5, column 'fitness': '1_000' is no number."),
        (CSV + b"d,inf,1\n", "x.csv, line 5, column 'fitness': 'inf' is not finite."),
        (CSV + b"d,1e999,1\n", "x.csv, line 5, column 'fitness': '1e999' is not finite."),
        (
            CSV + b"d,-1e300,1\n",
            "x.csv, line 5, column 'fitness': '-1e300' is too large to compute with (the limit is 1e+100).",
        ),
        (CSV + b"d,1\n", "x.csv, line 5: this row has 2 cells, but the header has 3."),
        (b"name,score\na,1\n", "x.csv: there is no column 'fitness'. The columns are: name, score"),
        (b"fitness,fitness\n1,1\n", "x.csv: 2 columns are named 'fitness'."),
        (b"name,fitness\n", "x.csv: no records in this table."),
        (b"", "x.csv: the file is empty."),
        (b">a\nMK\n", "x.csv: the name says CSV but the content is FASTA."),
    ],
)
def test_a_wrong_table_is_named_with_its_line_and_column(content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(content)
    assert str(caught.value).startswith(message)


def test_a_wrong_parquet_cell_is_named_by_its_row() -> None:
    with pytest.raises(DataError, match=r"^x\.parquet, row 2, column 'fitness': 'high' is no number"):
        read(parquet_bytes({"fitness": ["1", "high"]}), "x.parquet")


def test_a_faulty_row_is_left_out_where_the_caller_goes_on() -> None:
    faults: list[DataError] = []
    content = io.BytesIO(b"name,fitness\na,1\nb,high\nc,2\n")
    columns = read_columns(content, "x.csv", numbers=["fitness"], texts=["name"], at_fault=faults.append)
    assert columns.texts["name"] == ["a", "c"]
    assert columns.numbers["fitness"].tolist() == [1, 2]
    assert [fault.where for fault in faults] == ["x.csv, line 3, column 'fitness'"]


def test_all_rows_at_fault_leave_empty_columns() -> None:
    columns = read_columns(io.BytesIO(b"f\nx\n"), "x.csv", numbers=["f"], at_fault=lambda fault: None)
    assert columns.numbers["f"].shape == (0,)


def test_numeric_columns_are_those_without_another_word() -> None:
    content = b"name,fitness,mixed,empty,twice,twice\na,1,2,,1,1\nb,NA,x,,1,1\n"
    assert find_numeric_columns(io.BytesIO(content), "x.csv") == ["fitness"]
    table = parquet_bytes({"a": [1, None], "b": ["x", "y"], "c": [0.5, 1.5]})
    assert find_numeric_columns(io.BytesIO(table), "x.parquet") == ["a", "c"]
