"""CSV, TSV and Parquet, read through ``read_sequences``."""

import gzip
import io
import os

import pandas as pd
import pyarrow as pa
import pytest
from biofm_datasets import DataError, Record, read_sequences

from tests.datasets.conftest import parquet_bytes


def read(
    content: bytes, name: str = "x.csv", column: str | None = "seq", id_column: str | None = None
) -> list[Record]:
    return list(read_sequences(io.BytesIO(content), name, column=column, id_column=id_column))


def ids_and_sequences(records: list[Record]) -> list[tuple[str, str]]:
    return [(record.id, record.sequence) for record in records]


def test_a_row_is_a_record_with_its_place() -> None:
    assert read(b"id,seq,note\nP1,MV,x\nP2,MK,y\n") == [
        Record("P1", "MV", "", 1, "x.csv"),
        Record("P2", "MK", "", 2, "x.csv"),
    ]


@pytest.mark.parametrize(
    ("content", "name", "id_column", "expected"),
    [
        pytest.param(b"seq\nMV\nMK\n", "x.csv", None, [("1", "MV"), ("2", "MK")], id="no id column"),
        pytest.param(b"seq,name\nMV,a\n", "x.csv", "name", [("a", "MV")], id="id column chosen"),
        pytest.param(b"seq,id,name\nMV,b,a\n", "x.csv", "name", [("a", "MV")], id="chosen before 'id'"),
        pytest.param(b"id,seq\n,MV\nb,MK\n", "x.csv", None, [("1", "MV"), ("b", "MK")], id="empty id"),
        pytest.param(b"id,seq\na,MV\na,MK\n", "x.csv", None, [("a", "MV"), ("a", "MK")], id="duplicated ids"),
        pytest.param(b"id,seq\na,MV", "x.csv", None, [("a", "MV")], id="no final newline"),
        pytest.param(b"id,seq\r\na,MV\r\n", "x.csv", None, [("a", "MV")], id="Windows line ends"),
        pytest.param(b"id,seq\ra,MV\r", "x.csv", None, [("a", "MV")], id="old Macintosh line ends"),
        pytest.param(
            b"\n\nid,seq\n\na,MV\n\nb,MK\n\n", "x.csv", None, [("a", "MV"), ("b", "MK")], id="blank"
        ),
        pytest.param("\ufeffid,seq\na,MV\n".encode(), "x.csv", None, [("a", "MV")], id="byte-order mark"),
        pytest.param(b"id, seq \n a ,M V\t\n", "x.csv", None, [("a", "MV")], id="white space"),
        pytest.param(b"id,seq\na,\n", "x.csv", None, [("a", "")], id="empty cell"),
        pytest.param(
            b'id,seq\n"a, the ""first""","MV\nLS"\n', "x.csv", None, [('a, the "first"', "MVLS")], id="q"
        ),
        pytest.param(b"id\tseq\na,b\tMV\n", "x.tsv", None, [("a,b", "MV")], id="TSV"),
        pytest.param(b'"id"\t"seq"\n"a"\t"MV"\n', "x.tab", None, [("a", "MV")], id="TSV as R writes it"),
    ],
)
def test_tables_of_every_habit_are_read(
    content: bytes, name: str, id_column: str | None, expected: list[tuple[str, str]]
) -> None:
    assert ids_and_sequences(read(content, name, id_column=id_column)) == expected
    packed = read(gzip.compress(content), f"{name}.gz", id_column=id_column)
    assert ids_and_sequences(packed) == expected


def test_a_cell_longer_than_the_csv_module_allows_is_whole() -> None:
    residues = "ACDEFGHIKL" * 50_000
    assert read(f"seq\n{residues}\n".encode())[0].sequence == residues


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "x.csv: the file is empty. Give", id="empty"),
        pytest.param(b"\n\n", "x.csv: there is no column 'seq'. It has no columns", id="blank"),
        pytest.param(b"id,seq\n", "x.csv: no records in this table. It needs a header and", id="header only"),
        pytest.param(
            b"id,s\na,MV\n", "x.csv: there is no column 'seq'. The columns are: id, s", id="missing"
        ),
        pytest.param(
            b"seq,seq\nM,K\n", "x.csv: 2 columns are named 'seq'. The columns are: seq, seq", id="twice"
        ),
        pytest.param(
            b"id;seq\na;MV\n", "x.csv: there is no column 'seq'. The columns are: id;seq", id="semicolon"
        ),
        pytest.param(
            b"id,seq\na,MV\nb\n", "x.csv, line 3: this row has 1 cell, but the header has 2.", id="few"
        ),
        pytest.param(
            b"id,seq\na,MV,x\n", "x.csv, line 2: this row has 3 cells, but the header has 2.", id="many"
        ),
        pytest.param(
            b'id,seq\n"a\nb",MV,\n', "x.csv, line 3: this row has 3 cells", id="many, over two lines"
        ),
        pytest.param(
            b'id,seq\n"a,MV\nb,MK\n', "x.csv, line 3: the quotes of this table do not match", id="open"
        ),
        pytest.param(
            b'id,seq\n"a"b,MV\n', "x.csv, line 2: the quotes of this table do not match", id="quote"
        ),
        pytest.param(b"id,seq\na,M\0\n", "x.csv, line 2: this is not UTF-8 text.", id="NUL"),
        pytest.param(b"id,seq\n\xe9,MK\n", "x.csv, line 2: this is not UTF-8 text.", id="Latin-1"),
        pytest.param(b">a\nMK\n", "x.csv: the name says CSV but the content is FASTA. Rename", id="FASTA"),
        pytest.param(
            b"PK\x03\x04...", "x.csv: the name says CSV but the content is a zip archive (an", id="Excel"
        ),
    ],
)
def test_a_wrong_table_is_named_with_its_line_and_a_remedy(content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(content)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", ["x.csv", "x.tsv", "x.parquet"])
def test_a_table_without_a_chosen_column_lists_its_columns(name: str) -> None:
    contents = {
        "x.csv": b"id,residues\na,MV\n",
        "x.tsv": b"id\tresidues\na\tMV\n",
        "x.parquet": parquet_bytes({"id": ["a"], "residues": ["MV"]}),
    }
    with pytest.raises(DataError) as caught:
        read(contents[name], name, column=None)
    assert str(caught.value).startswith(f"{name}: this is a table, and no column was chosen. Name the column")
    assert str(caught.value).endswith("--column (in Python, column=). The columns are: id, residues")


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_missing_id_column_is_named(name: str) -> None:
    content = b"id,seq\na,MV\n" if name == "x.csv" else parquet_bytes({"id": ["a"], "seq": ["MV"]})
    with pytest.raises(DataError, match=r"there is no column 'accession'\. The columns are: id, seq"):
        read(content, name, id_column="accession")


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_an_empty_column_name_is_no_column(name: str) -> None:
    content = b"id,seq\na,MV\n" if name == "x.csv" else parquet_bytes({"id": ["a"], "seq": ["MV"]})
    with pytest.raises(DataError, match=r"there is no column ''\. The columns are: id, seq"):
        read(content, name, column="")


def test_the_index_that_pandas_stored_gives_the_ids() -> None:
    frame = pd.DataFrame({"seq": ["MK", "AV"], "name": ["x", "y"]}, index=["a", "b"])
    for index in (frame.index, frame.index.rename("key")):
        content = frame.set_index(index).to_parquet()
        assert ids_and_sequences(read(content, "x.parquet", "seq")) == [("a", "MK"), ("b", "AV")]
        assert ids_and_sequences(read(content, "x.parquet", "seq", "name"))[0] == ("x", "MK")
    content = frame.rename(columns={"name": "id"}).to_parquet()
    assert ids_and_sequences(read(content, "x.parquet", "seq"))[0] == ("x", "MK")
    content = frame.reset_index(drop=True).to_parquet()
    assert ids_and_sequences(read(content, "x.parquet", "seq"))[0] == ("1", "MK")
    content = frame.set_index([frame.index.rename("key"), "name"]).to_parquet()
    with pytest.raises(DataError, match=r"several columns \(key, name\). Name one of them"):
        read(content, "x.parquet", "seq")
    assert ids_and_sequences(read(content, "x.parquet", "seq", "name"))[0] == ("x", "MK")


@pytest.mark.parametrize(
    "stored",
    [b"[" * 100_000, b"[1]", b"{}", b"null", b'{"index_columns": null}', b'{"index_columns": 5}'],
)
def test_what_pandas_did_not_write_names_no_index(stored: bytes) -> None:
    table = pa.table({"seq": ["MV"]}).replace_schema_metadata({b"pandas": stored})
    assert ids_and_sequences(read(parquet_bytes(table), "x.parquet", "seq")) == [("1", "MV")]


def test_a_parquet_column_may_have_a_dot_in_its_name() -> None:
    content = parquet_bytes({"target.seq": ["MV"], "target": ["x"]})
    assert ids_and_sequences(read(content, "x.parquet", column="target.seq")) == [("1", "MV")]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_text_of_every_kind_is_read(kind: pa.DataType) -> None:
    content = parquet_bytes({"seq": pa.array(["M V", "MK", None, ""], kind), "id": [7, 8, None, 9]})
    records = read(content, "x.parquet")
    assert ids_and_sequences(records) == [("7", "MV"), ("8", "MK"), ("3", ""), ("9", "")]
    assert records[1] == Record("8", "MK", "", 2, "x.parquet")


def test_parquet_rows_are_numbered_through_all_batches() -> None:
    content = parquet_bytes({"seq": ["M" * (1 + i % 7) for i in range(5000)]}, row_group_size=700)
    records = read(content, "x.pq")
    assert [record.number for record in records] == list(range(1, 5001))
    assert [record.id for record in records] == [str(number) for number in range(1, 5001)]
    assert [len(record.sequence) for record in records] == [1 + i % 7 for i in range(5000)]


def test_one_parquet_column_may_be_both_id_and_sequence() -> None:
    assert ids_and_sequences(read(parquet_bytes({"seq": ["MV"]}), "x.parquet", id_column="seq")) == [
        ("MV", "MV")
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a"]}, "x.parquet: there is no column 'seq'. The columns are: id"),
        ({"seq": [1, 2]}, "x.parquet: column 'seq' holds int64, not text. Choose a column of strings"),
        ({"seq": [["M", "K"]]}, "x.parquet: column 'seq' holds list<element: string>, not text."),
        ({"seq": pa.array([], pa.string())}, "x.parquet: no records in this table."),
        ({"seq": ["M", "K"], "id": ["a", "b\0"]}, "x.parquet, row 2: the id holds a NUL character"),
    ],
)
def test_a_wrong_parquet_table_is_named(columns: dict[str, object], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(parquet_bytes(columns), "x.parquet")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("n_bytes", [4, 7, 100, 500, -1, -8])
def test_a_truncated_parquet_file_is_an_error(n_bytes: int) -> None:
    content = parquet_bytes({"seq": ["ACDEFGHIKL" * 20, "MK"] * 50})
    assert len(content) > 500
    with pytest.raises(
        DataError, match=r"^x\.parquet: this Parquet file cannot be read \(.+\)\. It may be truncated"
    ):
        read(content[:n_bytes], "x.parquet")


def test_parquet_text_that_is_none_is_an_error() -> None:
    no_utf8 = [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"M\xff")]
    content = parquet_bytes({"seq": pa.Array.from_buffers(pa.string(), 1, no_utf8)})
    with pytest.raises(DataError, match=r"^x\.parquet: this Parquet file cannot be read \(.*UTF8"):
        read(content, "x.parquet")


def test_damage_inside_a_parquet_file_is_an_error() -> None:
    residues = os.urandom(50_000).hex()
    content = bytearray(parquet_bytes({"seq": [residues]}))
    content[8:60] = bytes(52)
    with pytest.raises(DataError, match=r"^x\.parquet: this Parquet file cannot be read \("):
        read(bytes(content), "x.parquet")


@pytest.mark.parametrize(
    ("content", "found"),
    [(b">a\nMK\n", "FASTA"), (b"id,seq\na,MV\n", "something else"), (b"\x89HDF\r\n\x1a\n", "HDF5")],
)
def test_a_file_that_is_not_parquet_is_told_so(content: bytes, found: str) -> None:
    with pytest.raises(DataError, match=rf"^x\.parquet: the name says Parquet but the content is {found}\."):
        read(content, "x.parquet")


def test_parquet_inside_gzip_is_refused_with_a_remedy() -> None:
    content = gzip.compress(parquet_bytes({"seq": ["MK"]}))
    with pytest.raises(DataError, match=r"cannot come through gzip or a pipe\. Give the plain file"):
        read(content, "x.parquet.gz")


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_column_of_labels_gives_each_record_its_cell(name: str) -> None:
    columns = {"seq": ["MV", "MK", "ML"], "set": ["train ", None, "test"]}
    content = b"seq,set\nMV,train \nMK,\nML,test\n" if name == "x.csv" else parquet_bytes(columns)
    records = list(read_sequences(io.BytesIO(content), name, column="seq", label_column="set"))
    assert [record.label for record in records] == ["train", "", "test"]
    with pytest.raises(DataError, match="there is no column 'part'"):
        list(read_sequences(io.BytesIO(content), name, column="seq", label_column="part"))


def test_labels_that_are_no_text_are_spelt() -> None:
    content = parquet_bytes({"seq": ["MV", "MK"], "group": [7, 8]})
    records = read_sequences(io.BytesIO(content), "x.parquet", column="seq", label_column="group")
    assert [record.label for record in records] == ["7", "8"]


@pytest.mark.parametrize("name", ["x.csv", "x.parquet"])
def test_a_record_knows_the_column_of_its_sequence(name: str) -> None:
    content = b"y\n0.5\n1\n" if name == "x.csv" else parquet_bytes({"y": ["0.5", "1"]})
    assert [record.column for record in read(content, name, "y")] == ["y", "y"]


def test_fasta_has_no_column_of_labels() -> None:
    with pytest.raises(DataError, match="FASTA has no columns"):
        list(read_sequences(io.BytesIO(b">a\nMV\n"), "x.fasta", label_column="set"))
