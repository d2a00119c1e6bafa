"""Output tables hold the given values, in every format."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biofm.core import OutputError
from biofm.core.tables import check_table_suffix, open_table

PROVENANCE = {"method": "masked-marginals", "models": [{"model": "a", "sha256": "00"}]}
PARTS: list[dict[str, Any]] = [
    {"mutant": ["A1G", 'a "b"'], "n": [1, 2], "windowed": [True, False], "score": [0.1, -1e-7]},
    {"mutant": ["two\nlines"], "n": [3], "windowed": [False], "score": [-12.345678]},
]


def written(suffix: str, parts: list[dict[str, Any]]) -> tuple[bytes, bytes]:
    handle, beside = io.BytesIO(), io.BytesIO()
    table = open_table(handle, suffix, PROVENANCE, beside if suffix != ".parquet" else None)
    for part in parts:
        table.append({**part, "score": np.array(part["score"], np.float32)})
    table.close()
    return handle.getvalue(), beside.getvalue()


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
def test_text_tables_hold_every_cell(suffix: str, delimiter: str) -> None:
    content, beside = written(suffix, PARTS)
    rows = list(csv.DictReader(io.StringIO(content.decode()), delimiter=delimiter))
    assert [row["mutant"] for row in rows] == ["A1G", 'a "b"', "two\nlines"]
    assert [row["score"] for row in rows] == ["0.1", "-1e-07", "-12.345678"]
    assert [row["windowed"] for row in rows] == ["true", "false", "false"]
    assert json.loads(beside) == {"biofm": PROVENANCE}
    frame = pd.read_csv(io.BytesIO(content), sep=delimiter)
    assert frame["windowed"].dtype == bool


def test_parquet_holds_types_and_provenance() -> None:
    content, _ = written(".parquet", PARTS)
    table = pq.read_table(io.BytesIO(content))
    assert table.schema.field("score").type == pa.float32()
    assert table["mutant"].to_pylist() == ["A1G", 'a "b"', "two\nlines"]
    np.testing.assert_array_equal(table["score"].to_numpy(), np.array([0.1, -1e-7, -12.345678], np.float32))
    assert json.loads(table.schema.metadata[b"biofm"]) == PROVENANCE


def test_columns_of_arrow_keep_their_type_in_parquet_and_are_spelt_in_text() -> None:
    double, single = pa.array([0.1, None], pa.float64()), pa.array([0.1, None], pa.float32())
    part: dict[str, Any] = {"x": double, "y": pa.chunked_array([single]), "score": [1.0, 2.0]}
    content, _ = written(".parquet", [part])
    schema = pq.read_table(io.BytesIO(content)).schema
    assert [schema.field(name).type for name in "xy"] == [pa.float64(), pa.float32()]
    assert written(".csv", [part])[0] == b"x,y,score\n0.1,0.1,1.0\n,,2.0\n"


def test_many_rows_are_written_as_they_gather() -> None:
    parts = [{"n": list(range(i, i + 30_000)), "score": [0.5] * 30_000} for i in range(0, 150_000, 30_000)]
    content, _ = written(".parquet", parts)
    file = pq.ParquetFile(io.BytesIO(content))
    assert file.num_row_groups == 2
    assert file.read()["n"].to_pylist() == list(range(150_000))


@pytest.mark.parametrize(("name", "fault"), [("a.xlsx", ".xlsx is not a table format"), ("a", "no suffix")])
def test_another_suffix_is_an_error(name: str, fault: str) -> None:
    with pytest.raises(OutputError, match=fault):
        check_table_suffix(Path(name))
    assert check_table_suffix(Path("a.TSV")) == ".tsv"


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_every_cell_comes_back_as_it_is(suffix: str) -> None:
    cells = ["x\r", "y\rz", "a\r\n", "\n", 'say "so"', "one,two", "one\ttwo", "", "plain"]
    file = io.BytesIO()
    table = open_table(file, suffix, {}, io.BytesIO())
    table.append({"cell": cells, "number": list(range(len(cells)))})
    table.close()
    delimiter = {".csv": ",", ".tsv": "\t"}[suffix]
    rows = list(csv.reader(io.StringIO(file.getvalue().decode(), newline=""), delimiter=delimiter))
    assert [row[0] for row in rows[1:]] == cells
    assert b"\nplain" in file.getvalue()
