"""Files and Python values become clean records; faults stop or are skipped and counted."""

import io
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from biofm_datasets import Record, ids
from biofm_datasets.ids import NAMELESS, REPEATED_IDS

from biofm.core import InputError, OptionError
from biofm.modalities import PROTEIN, SKIPPED, RecordOptions, records_of_file, records_of_values


def of_values(sequences: Any, on_error: str = "stop") -> tuple[list[Record], Counter[str]]:
    notices: Counter[str] = Counter()
    return list(records_of_values(sequences, PROTEIN, RecordOptions(on_error=on_error), notices)), notices


def of_file(content: bytes, notices: Counter[str], on_error: str) -> list[Record]:
    return list(
        records_of_file(io.BytesIO(content), "in.fasta", PROTEIN, RecordOptions(on_error=on_error), notices)
    )


@pytest.mark.parametrize(
    "sequences",
    [
        ["MKT", "AYI"],
        [("1", "MKT"), ("2", "AYI")],
        [Record(id="1", sequence="MKT"), Record(id="2", sequence="AYI")],
        ["MKT", ("2", "AYI")],
        (sequence for sequence in ["MKT", "AYI"]),
    ],
)
def test_strings_pairs_and_records_are_all_sequences(sequences: Sequence[Any]) -> None:
    records, notices = of_values(sequences)

    assert [(record.id, record.sequence) for record in records] == [("1", "MKT"), ("2", "AYI")]
    assert notices == {}


def test_one_string_is_not_taken_for_many_sequences() -> None:
    with pytest.raises(InputError) as fault:
        of_values("MKTAYI")
    assert str(fault.value) == (
        "the given sequences: one string would be read as many sequences of one letter. Put it into a list"
    )


def test_a_fault_in_python_values_names_the_place() -> None:
    with pytest.raises(InputError, match=r"^the given sequences, record 2 \(b\): position 3 holds '1'"):
        of_values([("a", "MKT"), ("b", "AY1")])


def test_a_skipped_record_is_counted_and_the_rest_is_kept() -> None:
    records, notices = of_values([("a", "mkt"), ("b", "AY1"), ("c", ""), ("d", "AYI*")], "skip")

    assert [(record.id, record.sequence) for record in records] == [("a", "MKT"), ("d", "AYI")]
    assert notices == {
        SKIPPED: 2,
        "Skipped: the given sequences, record 2 (b): position 3 holds '1', which no protein alphabet has.": 1,
        "Skipped: the given sequences, record 3 (c): the sequence is empty.": 1,
        "sequences upper-cased": 1,
        "sequences whose trailing * was dropped": 1,
    }


def test_of_many_skipped_records_the_first_are_named() -> None:
    _, notices = of_values([("a", "MKT"), *((f"wrong{number}", "1") for number in range(5))], "skip")
    named = [notice for notice in notices if notice.startswith("Skipped: ")]
    assert notices[SKIPPED] == 5
    assert [re.findall(r"wrong\d", notice) for notice in named] == [["wrong0"], ["wrong1"], ["wrong2"]]


def test_records_without_a_name_are_counted_and_a_record_that_is_called_so_is_not() -> None:
    notices: Counter[str] = Counter()
    records = of_file(b">record_1\nMKT\n>\nMKT\n", notices, "stop")
    assert [record.id for record in records] == ["record_1", "record_2"]
    assert notices == {NAMELESS: 1}


def test_nothing_left_after_skipping_is_an_error() -> None:
    with pytest.raises(InputError) as fault:
        of_file(b">a\nM1\n>b\n\n", Counter(), "skip")
    assert str(fault.value) == (
        "in.fasta: every record is faulty, so nothing is left."
        " Leave out --on-error skip to see the first fault"
    )


def test_a_fault_of_the_whole_file_is_not_skipped() -> None:
    with pytest.raises(InputError, match=r"^in.fasta, line 1: text before the first '>'"):
        of_file(b"MKT\n>a\nMKT\n", Counter(), "skip")


def test_a_fault_far_into_a_file_names_the_record() -> None:
    content = b"".join(b">p%d\nMKT\n" % number for number in range(1, 5000)) + b">last\nMK!T\n"
    with pytest.raises(InputError, match=r"^in.fasta, record 5000 \(last\): position 3 holds '!'"):
        of_file(content, Counter(), "stop")


def test_ids_that_repeat_are_counted_as_they_are() -> None:
    records, notices = of_values([("a", "MKT"), ("b", "AYI"), ("a", "AYI"), ("a", "M")])
    assert [record.id for record in records] == ["a", "b", "a", "a"]
    assert notices == {REPEATED_IDS: 2}


def test_ids_are_compared_as_far_as_memory_is_given_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "MOST_COMPARED", 2)
    _, notices = of_values([("a", "MKT"), ("a", "AYI"), ("a", "AYI"), ("b", "M")])
    assert notices == {
        REPEATED_IDS: 1,
        "records after the first 10,000,000, whose ids were not compared": 2,
    }


def test_a_file_is_read_with_its_gaps_as_asked() -> None:
    content, notices = b">a\nM-K\n", Counter[str]()
    assert of_file(content, notices, "stop")[0].sequence == "MK"
    assert notices == {"sequences whose alignment gaps (- and .) were dropped": 1}
    keep, refuse = RecordOptions(gaps="keep"), RecordOptions(gaps="refuse")
    assert next(records_of_file(io.BytesIO(content), "in.a3m", PROTEIN, keep, Counter())).sequence == "M-K"
    with pytest.raises(InputError, match=r"^in.a3m, record 1 \(a\): position 2 holds '-'"):
        next(records_of_file(io.BytesIO(content), "in.a3m", PROTEIN, refuse, Counter()))


def test_another_way_with_gaps_is_an_error() -> None:
    with pytest.raises(OptionError, match=r"^--gaps: no such choice: close. Give drop, keep or refuse$"):
        RecordOptions(gaps="close")  # type: ignore[arg-type]


def test_another_way_of_handling_faults_is_an_error() -> None:
    with pytest.raises(OptionError) as fault:
        of_values(["MKT"], "ignore")
    assert str(fault.value) == "--on-error: no such choice: ignore. Give stop or skip"
