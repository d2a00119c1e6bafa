"""FASTA, read through ``read_sequences``."""

import gzip
import io

import pytest
from biofm_datasets import DataError, Record, read_sequences
from biofm_datasets.text import LONGEST_LINE


def read(content: bytes, name: str = "x.fasta") -> list[Record]:
    return list(read_sequences(io.BytesIO(content), name))


def sequences(content: bytes) -> list[str]:
    return [record.sequence for record in read(content)]


def test_a_record_has_id_description_sequence_and_place() -> None:
    assert read(b">P1 haemoglobin  alpha\nMV\nLS\n>P2\nMK\n") == [
        Record("P1", "MVLS", "haemoglobin  alpha", 1, "x.fasta"),
        Record("P2", "MK", "", 2, "x.fasta"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b">a\r\nMV\r\nLS\r\n>b\r\nMK\r\n", ["MVLS", "MK"], id="Windows line ends"),
        pytest.param(b">a\rMV\rLS\r>b\rMK\r", ["MVLS", "MK"], id="old Macintosh line ends"),
        pytest.param(b">a\nMVLS\n>b\nMK", ["MVLS", "MK"], id="no final newline"),
        pytest.param(b"\n\n>a\n\nMV\n\nLS\n\n\n>b\n\nMK\n\n", ["MVLS", "MK"], id="blank lines"),
        pytest.param(b">a\nM V\tL S \n  MK\n", ["MVLSMK"], id="white space inside"),
        pytest.param("\ufeff>a\nMK\n".encode(), ["MK"], id="byte-order mark"),
        pytest.param(b">a\nmVls*\n", ["mVls*"], id="case and stop are kept"),
        pytest.param(b">a\n>b\nMK\n>c\n", ["", "MK", ""], id="empty sequences are passed on"),
        pytest.param(b"; one\n;two\n>a\nMV\n;three\n>b\n;four\nMK\n", ["MV", "MK"], id="comments"),
    ],
)
def test_formatting_is_not_content(content: bytes, expected: list[str]) -> None:
    assert sequences(content) == expected


def test_duplicated_ids_are_kept() -> None:
    assert [record.id for record in read(b">a\nM\n>a\nK\n")] == ["a", "a"]


@pytest.mark.parametrize("title", [b">", b"> ", b">\t"])
def test_a_record_without_an_id_is_called_by_its_number(title: bytes) -> None:
    records = read(b">a\nM\n" + title + b"\nK\n")
    assert [(record.id, record.description) for record in records] == [("a", ""), ("record_2", "")]


def test_an_id_may_stand_apart_from_the_angle() -> None:
    assert read(b"> P1 alpha\nM\n")[0].id == "P1"


def test_a_title_in_another_script_is_read() -> None:
    assert read(">P1 h\u00e9moglobine \u03b1\nMK\n".encode())[0].description == "h\u00e9moglobine \u03b1"


@pytest.mark.parametrize("n_residues", [1, 59, 60, 61, 262_143, 262_144, 262_145, 600_000])
def test_a_sequence_of_any_length_is_whole(n_residues: int) -> None:
    residues = ("ACDEFGHIKLMNPQRSTVWY" * (n_residues // 20 + 1))[:n_residues]
    wrapped = "\r\n".join(residues[i : i + 60] for i in range(0, n_residues, 60))
    assert sequences(f">a\n{residues}\n>b\r\n{wrapped}\r\n>c\nMK".encode()) == [residues, residues, "MK"]


@pytest.mark.parametrize("padding", range(262_130, 262_150))
def test_line_ends_and_characters_across_blocks_stay_whole(padding: int) -> None:
    """The reader takes blocks of 262,144 bytes: each part of the text is moved over that edge."""
    content = b">" + b"x" * (padding - 8) + "\u03b1\r\nMV\r\n>b \u03b1\r\nLS\r\n".encode()
    records = read(content)
    assert [record.sequence for record in records] == ["MV", "LS"]
    assert records[0].id.endswith("x\u03b1")
    assert records[1].description == "\u03b1"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "x.fasta: the file is empty. Give a file that holds", id="empty"),
        pytest.param(
            b"\n\n", "x.fasta: no records in this file. A FASTA record is a line '>name'", id="blank"
        ),
        pytest.param(b";only\n;comments\n", "x.fasta: no records in this file. A FASTA", id="comments only"),
        pytest.param(
            b"MKV\n>a\nMK\n", "x.fasta, line 1: text before the first '>'. A FASTA", id="text first"
        ),
        pytest.param(b"\n;c\n\nMKV\n", "x.fasta, line 4: text before the first '>'. A FASTA", id="text only"),
        pytest.param(
            b">a\nMK\n>b\0\n", "x.fasta, line 3: this is not UTF-8 text. The file is binary", id="NUL"
        ),
        pytest.param(b">a\r\nMK\r\nM\xff\r\n", "x.fasta, line 3: this is not UTF-8 text.", id="not UTF-8"),
        pytest.param(b">a\rMK\rM\xff\r", "x.fasta, line 3: this is not UTF-8 text.", id="not UTF-8, Mac"),
        pytest.param(b">a\n\0\n\xff\n", "x.fasta, line 2: this is not UTF-8 text.", id="NUL, then not UTF-8"),
        pytest.param(b">a \xe9\n\0\n", "x.fasta, line 1: this is not UTF-8 text.", id="Latin-1 title"),
        pytest.param(b"\0\xff\n", "x.fasta, line 1: this is not UTF-8 text.", id="binary"),
        pytest.param(">a\nMK\n".encode("utf-16"), "x.fasta, line 1: this is not UTF-8 text.", id="UTF-16"),
        pytest.param(b">a\nM\xce", "x.fasta, line 2: this is not UTF-8 text.", id="cut in a character"),
    ],
)
@pytest.mark.parametrize("is_gzip", [False, True])
def test_a_wrong_file_is_named_with_its_line_and_a_remedy(
    content: bytes, message: str, is_gzip: bool
) -> None:
    with pytest.raises(DataError) as caught:
        read(gzip.compress(content) if is_gzip else content)
    assert str(caught.value).startswith(message)


def test_a_fault_far_into_the_file_has_the_right_line() -> None:
    content = b">a\r\nMK\n" * 50_000 + b"M\xffK\n"
    with pytest.raises(DataError, match=r"^x\.fasta, line 100001: this is not UTF-8 text"):
        read(content)


def test_a_line_end_across_blocks_is_one_line() -> None:
    content = b">a\r\n" + b"A" * (262_144 - 5) + b"\r\n" + b"M\xffK\n"
    assert content[262_143:262_145] == b"\r\n"
    with pytest.raises(DataError, match=r"^x\.fasta, line 3: this is not UTF-8 text"):
        read(content)


def test_records_before_a_fault_are_delivered() -> None:
    records = read_sequences(io.BytesIO(b">a\nMK\n>b\n" + b"A" * 300_000 + b"\n\xff"), "x.fasta")
    assert next(records).sequence == "MK"
    with pytest.raises(DataError):
        list(records)


def test_a_column_makes_no_sense_for_fasta() -> None:
    with pytest.raises(DataError, match=r"^x\.fasta: a column was chosen, but FASTA has no columns"):
        list(read_sequences(io.BytesIO(b">a\nMK\n"), "x.fasta", column="sequence"))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b">a\n" + b"M" * (LONGEST_LINE + (1 << 20)), "p.fasta, line 2: this line is longer than 10,000,000"),
        (b">a\n" + b"MKT\n" * (LONGEST_LINE // 3), "this record is longer than 10,000,000 characters"),
    ],
    ids=["line", "record"],
)
def test_a_sequence_without_a_reasonable_end_is_refused(content: bytes, what: str) -> None:
    """It would fill the memory: one that is compressed, from a few kilobytes."""
    with pytest.raises(DataError) as caught:
        read(content, "p.fasta")
    assert what in str(caught.value)
