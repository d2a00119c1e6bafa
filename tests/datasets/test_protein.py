"""``clean_protein``: what is put in order, what is refused, and that it says so."""

import time
from collections import Counter
from dataclasses import replace

import pytest
from biofm_datasets import DataError, Record, clean_protein

UPPER_CASED = "sequences upper-cased"
STOP_DROPPED = "sequences whose trailing * was dropped"
STOP_INSIDE = "sequences with a stop (*) inside, which models read as unknown"
GAPS_DROPPED = "sequences whose alignment gaps (- and .) were dropped"
GAPS_KEPT = "sequences whose alignment gaps (- and .) were kept as tokens"


def record(sequence: str) -> Record:
    return Record("P1", sequence, description="a protein", number=4, source="x.fasta")


def test_a_record_in_order_comes_back_itself() -> None:
    notices: Counter[str] = Counter()
    clean = record("ACDEFGHIKLMNPQRSTVWYBJOUXZ")
    assert clean_protein(clean, notices) is clean
    assert not notices


@pytest.mark.parametrize(
    ("given", "expected", "counted"),
    [
        ("mkv", "MKV", {UPPER_CASED: 1}),
        ("MkV", "MKV", {UPPER_CASED: 1}),
        ("MKV*", "MKV", {STOP_DROPPED: 1}),
        ("mkv*", "MKV", {UPPER_CASED: 1, STOP_DROPPED: 1}),
        ("MKV**", "MKV*", {STOP_DROPPED: 1, STOP_INSIDE: 1}),
        ("M*KV", "M*KV", {STOP_INSIDE: 1}),
        ("*MKV", "*MKV", {STOP_INSIDE: 1}),
        ("M-K.V-", "MKV", {GAPS_DROPPED: 1}),
        ("--MkV*..", "MKV", {GAPS_DROPPED: 1, UPPER_CASED: 1, STOP_DROPPED: 1}),
        ("M<mask>V", "M<mask>V", {}),
        ("<mask>", "<mask>", {}),
        ("MK|V", "MK|V", {}),
        ("mk|v*", "MK|V", {UPPER_CASED: 1, STOP_DROPPED: 1}),
        ("<mask><mask>k", "<mask><mask>K", {UPPER_CASED: 1}),
        ("m<mask>*", "M<mask>", {UPPER_CASED: 1, STOP_DROPPED: 1}),
    ],
)
def test_sequences_are_put_in_order_and_each_change_is_counted(
    given: str, expected: str, counted: dict[str, int]
) -> None:
    notices: Counter[str] = Counter()
    clean = clean_protein(record(given), notices)
    assert clean.sequence == expected
    assert notices == counted
    assert (clean.id, clean.description, clean.number, clean.source) == ("P1", "a protein", 4, "x.fasta")


def test_gaps_are_kept_as_tokens_only_where_that_is_asked_for() -> None:
    notices: Counter[str] = Counter()
    given = record("M-K.V")
    assert clean_protein(given, notices, gaps="keep") is given
    assert clean_protein(record("m-k*"), notices, gaps="keep").sequence == "M-K"
    assert notices == {GAPS_KEPT: 2, UPPER_CASED: 1, STOP_DROPPED: 1}


@pytest.mark.parametrize(
    ("sequence", "position", "gap"), [("MK-V", 3, "-"), ("mkv.", 4, "."), ("--", 1, "-")]
)
def test_a_gap_is_refused_with_its_position(sequence: str, position: int, gap: str) -> None:
    notices: Counter[str] = Counter()
    with pytest.raises(DataError, match=rf"position {position} holds '\{gap}', a gap of an alignment"):
        clean_protein(record(sequence), notices, gaps="refuse")
    assert not notices


def test_nothing_but_gaps_is_no_sequence() -> None:
    with pytest.raises(DataError, match="the sequence holds only gaps"):
        clean_protein(record("-..-*"), Counter())


def test_insert_states_of_an_a3m_are_residues_and_are_called_what_they_are() -> None:
    notices: Counter[str] = Counter()
    aligned = Record(id="P1", sequence="M-kvL", number=1, source="family.A3M.gz")
    assert clean_protein(aligned, notices).sequence == "MKVL"
    assert notices == {
        "sequences of an .a3m with insert states (lower case), kept as residues in upper case": 1,
        GAPS_DROPPED: 1,
    }


def test_cleaning_twice_changes_nothing_more() -> None:
    notices: Counter[str] = Counter()
    once = clean_protein(record("mk<mask>v*"), notices)
    assert clean_protein(once, notices) is once
    assert notices.total() == 2


def test_notices_add_up_over_records() -> None:
    notices: Counter[str] = Counter()
    for sequence in ("mk", "MK", "mk*"):
        clean_protein(record(sequence), notices)
    assert notices == {UPPER_CASED: 2, STOP_DROPPED: 1}


@pytest.mark.parametrize(
    ("sequence", "position", "shown"),
    [
        ("MK1V", 3, "'1'"),
        ("MKV?", 4, "'?'"),
        ("mk<maskv", 3, "'<'"),
        ("MK<MASK>V", 3, "'<'"),
        ("MK>V", 3, "'>'"),
        ("MK\N{GREEK CAPITAL LETTER ALPHA}V", 3, r"'\u0391'"),
        ("MK\N{LATIN SMALL LETTER SHARP S}V", 3, r"'\xdf'"),
        ("MK\N{LATIN SMALL LETTER DOTLESS I}V", 3, r"'\u0131'"),
        ("M<mask>1", 8, "'1'"),
    ],
)
def test_a_character_of_no_alphabet_is_refused_with_its_position(
    sequence: str, position: int, shown: str
) -> None:
    notices: Counter[str] = Counter()
    with pytest.raises(DataError) as caught:
        clean_protein(record(sequence), notices)
    expected = f"x.fasta, record 4 (P1): position {position} holds {shown}, which no protein alphabet has. "
    assert str(caught.value).startswith(expected + "Correct or remove the record")
    assert not notices


@pytest.mark.parametrize("text", ["1", "0.53", "-2.5", "1e-5", "+.5"])
def test_a_number_is_no_sequence_and_no_molecule(text: str) -> None:
    with pytest.raises(DataError) as caught:
        clean_protein(record(text), Counter())
    place = "x.fasta, record 4 (P1)"
    what = f"the text is a number ({text}), not a sequence. Correct or remove the record"
    assert str(caught.value) == f"{place}: {what}"
    with pytest.raises(DataError) as caught:
        clean_protein(replace(record(text), column="score"), Counter())
    what = f"column 'score' holds a number ({text}), not a sequence"
    assert str(caught.value) == f"{place}: {what}. Name the column of sequences, or correct the row"


@pytest.mark.parametrize(("text", "has_letters"), [("[1]=2", False), ("CC(=O)O", True)])
def test_only_text_with_letters_may_be_a_molecule(text: str, has_letters: bool) -> None:
    with pytest.raises(DataError, match="which no protein alphabet has") as caught:
        clean_protein(record(text), Counter())
    assert ("SMILES" in caught.value.remedy) is has_letters


@pytest.mark.parametrize("sequence", ["", "*"])
def test_an_empty_sequence_is_refused(sequence: str) -> None:
    notices: Counter[str] = Counter()
    with pytest.raises(DataError, match=r"^x\.fasta, record 4 \(P1\): the sequence is empty\. Give it"):
        clean_protein(record(sequence), notices)
    assert not notices


def test_a_wrong_last_character_of_a_long_sequence_is_found_at_once() -> None:
    """With backtracking quantifiers this takes longer than the universe has existed."""
    begin = time.process_time()
    with pytest.raises(DataError, match="position 40001 holds"):
        clean_protein(record("MK" * 20_000 + "1"), Counter())
    assert time.process_time() - begin < 1
