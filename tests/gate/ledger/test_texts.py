"""Keyed texts: no path, name or free text is in the ledger, and what was asked can still be followed."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from biofm.core import LedgerError
from biofm.gate import Ledger, ledger_path
from biofm.gate.ledger import segments
from biofm.gate.ledger.entries import Entry
from biofm.gate.ledger.reading import entries_of
from biofm.gate.ledger.texts import key_of_segment
from biofm.gate.ledger.verify import verify
from biofm.policy import Content, Decision, Principal, Request, Target, Verdict

ALLOW = Verdict(
    decision=Decision.ALLOW, rule="a rule", reason="Rosalind may read /patients.", remedy="", evidence=()
)

MakeRequest = Callable[..., Request]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "biofm.keys"


@pytest.fixture
def ledger(key: Path, state_folder: Path) -> Ledger:
    return Ledger(ledger_path(), "keyed", key)


@pytest.fixture
def request_of_a_patient(make_request: MakeRequest) -> Request:
    return make_request(
        {"input": Path("/patients/rosalind.dcm"), "other": Path("-")},
        {"output": Target(path=Path("/patients/out.h5ad"))},
        model="patient/model",
        principal=Principal(kind="person", name="rosalind"),
        hosts=("pacs.example.org",),
        sends=frozenset({Content.FREE}),
        options={"pooling": "mean", "notes": "rosalind", "files": ("rosalind.dcm",), "layer": 3, "a": True},
    )


def last(ledger: Ledger) -> Entry:
    return list(entries_of(ledger.path))[-1]


def test_only_words_of_closed_choices_numbers_and_truths_stay(
    ledger: Ledger, request_of_a_patient: Request
) -> None:
    ledger.remember(request_of_a_patient, ALLOW)

    entry = last(ledger)
    assert not re.search("(?i)rosalind|patient|dcm|h5ad|example", entry.body)
    found = entry.fields
    assert found["options"] | {"notes": 0, "files": 0} == {
        "pooling": "mean", "notes": 0, "files": 0, "layer": 3, "a": True,
    }  # fmt: skip
    assert (found["verb"], found["principal"], found["decision"]) == ("embed", "person", "allow")
    assert found["writes"]["output"]["kind"] == "file"
    assert found["reads"]["other"] == ["-"]
    for text in (
        found["user"],
        found["model"],
        found["reason"],
        found["options"]["notes"],
        *found["hosts"],
    ):
        assert re.fullmatch("hmac-sha256:[0-9a-f]{32}", text)
    assert verify(ledger.path).findings == ()


def test_a_verb_that_is_not_declared_is_a_free_text(ledger: Ledger, make_request: MakeRequest) -> None:
    ledger.remember(make_request(verb="rosalind", principal=Principal(kind="rosalind", name="a")), ALLOW)
    assert "rosalind" not in last(ledger).body


def test_who_has_the_key_can_look_for_a_text(
    ledger: Ledger, key: Path, request_of_a_patient: Request
) -> None:
    ledger.remember(request_of_a_patient, ALLOW)
    first = next(entries_of(ledger.path)).fields
    of_segment = key_of_segment(key, ledger.path, first["ledger"], 1)
    assert last(ledger).fields["reads"]["input"] == [of_segment.text("/patients/rosalind.dcm")]


def test_each_segment_has_a_key_of_its_own(
    ledger: Ledger, key: Path, request_of_a_patient: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "FEWEST_ENTRIES", 3)
    monkeypatch.setattr(segments, "MOST_ENTRIES", 3)
    for _ in range(4):
        ledger.remember(request_of_a_patient, ALLOW)
    users = [entry.fields["user"] for entry in entries_of(ledger.path) if "user" in entry.fields]
    assert (users[0] == users[1], users[1] == users[2], users[2] == users[3]) == (True, False, True)
    assert len(key.read_text().splitlines()) == 2
    assert oct(key.stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_is_refused(
    mode: int, ledger: Ledger, key: Path, request_of_a_patient: Request
) -> None:
    ledger.remember(request_of_a_patient, ALLOW)
    key.chmod(mode)
    with pytest.raises(LedgerError, match="others can read or write the file of the key") as caught:
        ledger.remember(request_of_a_patient, ALLOW)
    assert caught.value.remedy == f"Take their rights away: chmod 600 {key}"
    assert len(list(entries_of(ledger.path))) == 2


def test_a_key_in_the_folder_of_the_ledger_is_refused(request_of_a_patient: Request) -> None:
    inside = Ledger(ledger_path(), "keyed", ledger_path().parent / "deeper" / "key")
    with pytest.raises(LedgerError, match="lies in the ledger's folder"):
        inside.remember(request_of_a_patient, ALLOW)


def test_a_file_that_holds_no_keys_is_refused_by_its_line(
    ledger: Ledger, key: Path, request_of_a_patient: Request
) -> None:
    key.parent.mkdir()
    key.touch(mode=0o600)
    key.write_text("something else\n")
    with pytest.raises(LedgerError, match=r"biofm.keys, line 1: this line is no key of a segment"):
        ledger.remember(request_of_a_patient, ALLOW)


def test_plain_texts_have_no_key_and_keyed_ones_need_one() -> None:
    for given in (("plain", Path("key")), ("keyed", None), ("other", None)):
        with pytest.raises(ValueError, match="texts are plain, or keyed with a file of keys"):
            Ledger(Path("ledger.sqlite3"), *given)  # type: ignore[arg-type]
