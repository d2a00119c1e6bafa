"""Python values are taken as they are meant, or refused: pandas, polars, Arrow and Biopython among them."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from Bio.Seq import Seq
from Bio.SeqRecord import SeqRecord
from biofm_datasets import Record

from biofm.core import InputError
from biofm.modalities import PROTEIN, RecordOptions, records_of_values, sequence_of, texts_of

FRAME = pd.DataFrame({"protein": ["x", "y"], "seq": ["MKT", "AYI"]}, index=["a", "b"])

# values, column, id column, ids of "MKT" and "AYI"
GOOD: dict[str, tuple[Any, Any, Any, list[str]]] = {
    "a list": (["MKT", "AYI"], None, None, ["1", "2"]),
    "pairs": ([("a", "MKT"), (7, "AYI")], None, None, ["a", "7"]),
    "records": ([Record(id="a", sequence="MKT"), Record(id="b", sequence="AYI")], None, None, ["a", "b"]),
    "SeqRecords": ([SeqRecord(Seq("MKT"), "a"), SeqRecord(Seq("AYI"), "b")], None, None, ["a", "b"]),
    "Seqs": ([Seq("MKT"), Seq("AYI")], None, None, ["1", "2"]),
    "a generator": ((text for text in ["MKT", "AYI"]), None, None, ["1", "2"]),
    "an array": (np.array(["MKT", "AYI"]), None, None, ["1", "2"]),
    "a dictionary": ({"a": "MKT", "b": "AYI"}, None, None, ["a", "b"]),
    "one of SeqRecords": ({"a": SeqRecord(Seq("MKT"), "x"), "b": Seq("AYI")}, None, None, ["a", "b"]),
    "its items": ({"a": "MKT", "b": "AYI"}.items(), None, None, ["a", "b"]),
    "its values": ({"a": "MKT", "b": "AYI"}.values(), None, None, ["1", "2"]),
    "a Series": (FRAME["seq"], None, None, ["a", "b"]),
    "labels like attributes": (pd.Series({"seq": "MKT", "columns": "AYI"}), None, None, ["seq", "columns"]),
    "a table": (FRAME, "seq", None, ["a", "b"]),
    "a table and its ids": (FRAME, "seq", "protein", ["x", "y"]),
    "a table with a column id": (FRAME.rename(columns={"protein": "id"}), "seq", None, ["x", "y"]),
    "columns without names": (pd.DataFrame([["MKT", "x"], ["AYI", "y"]]), 0, 1, ["x", "y"]),
    "a table of Arrow": (pa.table({"seq": ["MKT", "AYI"]}), "seq", None, ["1", "2"]),
    "one of Arrow and its ids": (pa.table({"n": [5, 6], "seq": ["MKT", "AYI"]}), "seq", "n", ["5", "6"]),
}  # fmt: skip


def read(values: Any, column: str | None = None, id_column: str | None = None) -> list[Record]:
    options = RecordOptions(column=column, id_column=id_column)
    return list(records_of_values(values, PROTEIN, options, Counter()))


@pytest.mark.parametrize("kind", GOOD)
def test_values_are_taken_as_they_are_meant(kind: str) -> None:
    values, column, id_column, ids = GOOD[kind]
    assert [(it.id, it.sequence) for it in read(values, column, id_column)] == [
        (ids[0], "MKT"),
        (ids[1], "AYI"),
    ]


# values, column, what the message must say
WRONG: dict[str, tuple[Any, str | None, str]] = {
    "one string": ("MKTAYI", None, "one string would be read as many sequences of one letter. Put it"),
    "a path": (Path("p.fasta"), None, "Path was given instead of sequences. To read a file, call"),
    "bytes": (b"MKT", None, "a bytes is not a list of sequences. Put text"),
    "bytes in a list": ([b"MKT"], None, "record 1 (1): a bytes is not a sequence"),
    "one record": (SeqRecord(Seq("MKT"), "a"), None, "a SeqRecord is not a list of sequences. Put text"),
    "one of biofm": (Record("a", "MKT"), None, "a Record is not a list of sequences"),
    "a number": (3, None, "the given sequences: an int is not a list of sequences"),
    "an array of no dimension": (np.array("MKT"), None, "a ndarray is not a list of sequences"),
    "numbers": ([("a", 3)], None, "the given sequences, record 1 (a): an int is not a sequence"),
    "lists": ([["M", "K"]], None, "record 1 (1): a list is not a sequence. Give text, (id, sequence)"),
    "a set": ({"MKT"}, None, "a set has no order"),
    "a dictionary of columns": ({"seq": ["MKT"]}, None, "record 1 (seq): a list is not a sequence"),
    "a table without a column": (FRAME, None, "a DataFrame is a table, and no column was chosen. Name the "
        "column of sequences with column=. The columns are: protein, seq"),
    "a table without that column": (FRAME, "sequence", "there is no column 'sequence'. The columns are:"),
    "columns without names": (pd.DataFrame([["MKT"]]), "seq", "there is no column 'seq'. The columns are: 0"),
    "a column of a list": (["MKT"], "seq", "a column was chosen, but a list has no columns"),
    "None": (["MKT", None], None, "the given sequences, record 2 (2): the sequence is empty"),
    "NaN": (pd.DataFrame({"s": ["MKT", np.nan]}), "s", "record 2 (1): the sequence is empty"),
    "NA": (pd.Series(["MKT", pd.NA], dtype="string"), None, "record 2 (1): the sequence is empty"),
    "an empty cell of Arrow": (pa.table({"s": ["MKT", None]}), "s", "record 2 (2): the sequence is empty"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_other_values_are_refused(kind: str) -> None:
    values, column, message = WRONG[kind]
    with pytest.raises(InputError, match=re.escape(message)):
        read(values, column)


def test_missing_values_are_skipped_where_faults_are() -> None:
    options = RecordOptions(on_error="skip", column="s")
    notices: Counter[str] = Counter()
    records = list(records_of_values(pd.DataFrame({"s": ["MKT", None, "AYI"]}), PROTEIN, options, notices))
    assert [record.id for record in records] == ["0", "2"]
    assert notices == {
        "records skipped": 1,
        "Skipped: the given sequences, record 2 (1): the sequence is empty.": 1,
    }


@pytest.mark.parametrize("make", [list, tuple, np.array, pd.Series, pa.array, iter])
def test_texts_come_from_anything_that_holds_them_in_order(make: Callable[[list[str]], Any]) -> None:
    assert texts_of(make(["K2R", "WT"]), "variants") == ["K2R", "WT"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (FRAME, "a DataFrame holds more than variants"),
        ({"a": "K2R"}, "a dict holds more than variants"),
        ("K2R", "one string would be read as many variants of one letter"),
        ({"K2R"}, "a set has no order"),
        (7, "an int is not a list of variants"),
        ([7], "number 1: an int is not a sequence"),
    ],
)
def test_texts_come_from_nothing_else(values: Any, message: str) -> None:
    with pytest.raises(InputError, match=f"^the given variants.*{message}"):
        texts_of(values, "variants")


def test_one_sequence_may_be_a_record() -> None:
    for value in ("MKT", Seq("MKT"), SeqRecord(Seq("MKT"), "a"), Record("a", "MKT")):
        assert sequence_of(value, "the wild type") == "MKT"
    with pytest.raises(InputError, match=r"^the wild type: an int is not a sequence"):
        sequence_of(7, "the wild type")
