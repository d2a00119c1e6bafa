"""Labels, sessions, outputs and approvals are asked and written in one transaction."""

import os
from pathlib import Path

import pytest

from biofm.core import RefusedError
from biofm.gate import Ledger
from biofm.gate.ledger import FileIdentity, parent_of
from biofm.gate.ledger.reading import entries_of
from biofm.gate.ledger.verify import verify


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.sqlite3")


def test_a_holder_has_the_labels_of_all_its_open_sessions(ledger: Ledger) -> None:
    with ledger.writing() as book:
        book.raise_labels("me", "", 1)
        one, other = book.open_session("me"), book.open_session("me")
        book.raise_labels("me", one, 2)
        book.raise_labels("you", "", 8)
    with ledger.writing() as book:
        assert book.sessions("me") == {"": 1, one: 3, other: 1}
        assert (book.held("me"), book.held("you"), book.held("nobody")) == (3, 8, 0)
        book.close_session("me", one)
        assert book.held("me") == 1
        book.close_session("me", "")
        book.raise_labels("me", "", 4)
        assert book.sessions("me") == {"": 4, other: 1}
    assert verify(ledger.path).findings == ()


def test_a_new_session_starts_with_the_labels_of_its_holder(ledger: Ledger) -> None:
    with ledger.writing() as book:
        book.raise_labels("me", "", 5)
        session = book.open_session("me")
        assert book.sessions("me")[session] == 5


def test_labels_that_are_held_already_leave_no_entry(ledger: Ledger) -> None:
    for _ in range(3):
        with ledger.writing() as book:
            book.raise_labels("me", "", 3)
    assert len(list(entries_of(ledger.path))) == 2


def test_a_session_that_is_closed_unknown_or_anothers_is_refused(ledger: Ledger) -> None:
    with ledger.writing() as book:
        session = book.open_session("me")
        closed = book.open_session("me")
        book.close_session("me", closed)
        for holder, handle in (("you", session), ("me", closed), ("me", "unknown")):
            with pytest.raises(RefusedError, match="is no open session of"):
                book.raise_labels(holder, handle, 1)
            with pytest.raises(RefusedError, match="is no open session of"):
                book.close_session(holder, handle)
    assert verify(ledger.path).findings == ()


def test_a_session_within_another_returns_its_labels_and_ends_with_it(ledger: Ledger) -> None:
    with ledger.writing() as book:
        book.raise_labels("me", "", 1)
        parent = book.open_session("me")
        one, other = book.open_session("me", parent), book.open_session("me", parent)
        assert parent_of(one) == parent_of(other) == parent
        assert book.sessions("me")[one] == 1
        book.raise_labels("me", one, 2)
        assert book.close_session("me", one) == 1
        assert book.sessions("me") == {"": 1, parent: 3, other: 1}
        assert book.close_session("me", parent) == 2
        assert book.sessions("me") == {"": 1}
    assert verify(ledger.path).findings == ()


def test_a_session_is_begun_within_an_open_one_of_its_holder_and_no_third_level(ledger: Ledger) -> None:
    with ledger.writing() as book:
        parent, closed = book.open_session("me"), book.open_session("me")
        child = book.open_session("me", parent)
        book.close_session("me", closed)
        for holder, handle in (("you", parent), ("me", closed), ("me", "unknown")):
            with pytest.raises(RefusedError, match="is no open session of"):
                book.open_session(holder, handle)
        with pytest.raises(RefusedError, match="would be a third level") as caught:
            book.open_session("me", child)
        assert caught.value.remedy.startswith(f"Begin it within {parent},")
        assert set(book.sessions("me")) == {parent, child}
        fields = {"action": "closed", "holder": "me", "session": parent, "labels": 0}
        with pytest.raises(ValueError, match="has open ones within it"):
            book.append("session", fields)
        assert (book.close_all("you"), book.close_all("me"), book.sessions("me")) == (0, 2, {})


def test_an_output_is_known_by_its_file_and_its_copies_by_their_content(
    ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "out").write_bytes(b"content")
    identity = FileIdentity.of(os.stat(tmp_path / "out"))
    copy = FileIdentity(identity.device, identity.inode + 1, identity.size, 1)
    with ledger.writing() as book:
        book.note_output(identity, "a" * 64, 3, "me", path=str(tmp_path / "out"), request=1)
        assert book.labels_of_output(identity) == 3
        assert book.labels_of_output(copy, "a" * 64) == 3
        assert book.labels_of_output(copy) is None
        assert book.labels_of_output(copy, "b" * 64) is None
        assert book.makers_of_output(identity) == {"me"}
        book.note_output(copy, "a" * 64, 4, "you", path="copy", request=1)
        assert book.labels_of_output(identity, "a" * 64) == 7
        book.note_output(identity, "a" * 64, 0, "me", path=str(tmp_path / "out"), request=1)
        assert book.labels_of_output(identity) == 3
    assert verify(ledger.path).findings == ()


def test_an_approval_is_of_one_request_one_holder_one_use_and_a_time(ledger: Ledger) -> None:
    with ledger.writing() as book:
        assert book.approval("a", "me", 0) == "none"
        book.note_approval("a", "me", 100)
        assert book.approval("a", "me", 99) == "live"
        assert book.approval("a", "me", 100) == "expired"
        assert book.approval("b", "me", 99) == "other"
        assert book.approval("a", "you", 99) == "none"
        assert not book.use_approval("a", "me", 100)
        assert not book.use_approval("a", "you", 99)
        assert not book.use_approval("b", "me", 99)
        assert book.use_approval("a", "me", 99)
        assert not book.use_approval("a", "me", 99)
        assert book.approval("a", "me", 99) == "used"
        assert book.approval("b", "me", 99) == "none"
        book.note_approval("a", "me", 200)
        assert book.approval("a", "me", 99) == "live"
    assert verify(ledger.path).findings == ()


def test_after_an_error_nothing_of_a_transaction_is_kept(ledger: Ledger) -> None:
    with ledger.writing() as book:
        book.raise_labels("me", "", 1)
    before = [entry.line for entry in entries_of(ledger.path)]

    def fail() -> None:
        with ledger.writing() as book:
            book.raise_labels("me", "", 2)
            raise OSError("of the work, not of the ledger")

    with pytest.raises(OSError, match="of the work"):
        fail()

    assert [entry.line for entry in entries_of(ledger.path)] == before
    with ledger.writing() as book:
        assert book.held("me") == 1


@pytest.mark.parametrize(
    ("kind", "fields", "why"),
    [
        ("segment", {}, "no kind of entry"),
        ("other", {}, "no kind of entry"),
        ("outcome", {"time": "now"}, "belongs to every entry"),
        ("outcome", {"a": float("nan")}, "not finite"),
        ("label", {"holder": "me", "session": "", "labels": -1}, "not a whole number"),
        ("label", {"holder": "me", "session": "", "labels": 2**40}, "more than there are"),
        ("output", {"holder": "me"}, "not a text"),
    ],
)
def test_an_entry_that_has_no_place_is_refused_and_leaves_nothing(
    kind: str, fields: dict[str, object], why: str, ledger: Ledger
) -> None:
    with ledger.writing() as book, pytest.raises(ValueError, match=why):
        book.append(kind, fields)  # type: ignore[arg-type]
    assert len(list(entries_of(ledger.path))) == 1
    assert verify(ledger.path).findings == ()
