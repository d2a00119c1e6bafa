"""Verification finds every change of the ledger, and says so in a sentence."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from biofm.core import LedgerError
from biofm.gate.ledger.entries import NO_HASH, chained
from biofm.gate.ledger.reading import Row
from biofm.gate.ledger.verify import NO_HEAD, faults_of_rows, verify
from tests.gate.ledger.damage import (
    N_ROWS,
    changed_rows,
    export_of,
    faults_around,
    fill,
    patch,
    rows_in,
    unreported_bytes,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a ledger of 200 entries, which no test changes."""
    path = tmp_path_factory.mktemp("whole") / "ledger.sqlite3"
    fill(path)
    return path


@pytest.fixture
def ledger(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of the ledger that this test may damage."""
    path = tmp_path / "ledger.sqlite3"
    path.write_bytes(whole.read_bytes())
    return path


@pytest.fixture
def rows(whole: Path) -> list[Row]:
    return rows_in(whole)


def test_a_whole_ledger_has_no_faults_and_says_what_cannot_be_known(whole: Path) -> None:
    report = verify(whole)
    assert (report.findings, report.notes, report.n_entries) == ((), (NO_HEAD,), N_ROWS)
    assert len(report.ledger) == 32


def test_where_there_is_no_ledger_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        LedgerError, match=r"there is no ledger yet\. Each verb of biofm, such as embed, begins"
    ):
        verify(tmp_path / "ledger.sqlite3")


def test_every_changed_byte_of_every_field_is_found(rows: list[Row]) -> None:
    n_changes = 0
    for place, row in enumerate(rows):
        assert faults_around(rows, place, row) == []
        for changed in changed_rows(row):
            assert faults_around(rows, place, changed), (row, changed)
            n_changes += 1
    assert n_changes > 30_000


def test_every_deletion_is_found(rows: list[Row]) -> None:
    for place in range(N_ROWS - 1):  # The last one is a cut tail, which a head finds.
        assert list(faults_of_rows(rows[:place] + rows[place + 1 :], 0, NO_HASH)) == [
            f"Entry {place + 1} is missing."
        ]


def test_every_swap_of_neighbours_or_of_the_ends_is_found(rows: list[Row]) -> None:
    for place in range(N_ROWS - 1):
        for other in {place + 1, N_ROWS - 1}:
            swapped = list(rows)
            swapped[place] = (rows[place][0], *rows[other][1:])
            swapped[other] = (rows[other][0], *rows[place][1:])
            assert list(faults_of_rows(swapped, 0, NO_HASH))


def test_every_insertion_is_found(rows: list[Row]) -> None:
    for place in range(1, N_ROWS + 1):
        later = [(number + 1, *rest) for number, *rest in rows[place:]]
        inserted = [*rows[:place], (place + 1, *rows[place - 1][1:]), *later]
        assert list(faults_of_rows(inserted, 0, NO_HASH))  # type: ignore[arg-type]


DAMAGES: dict[str, tuple[tuple[str, tuple[object, ...]], str]] = {
    "a changed body": (
        ("UPDATE entries SET body = replace(body, 'embed', 'score') WHERE seq = 9", ()),
        "Ledger: Entry 9 does not agree with its hash: its body, its hash or its place was changed.",
    ),
    "a changed hash": (
        ("UPDATE entries SET hash = ? WHERE seq = 9", ("a" * 64,)),
        "Ledger: Entry 9 does not agree with its hash: its body, its hash or its place was changed.",
    ),
    "a body that is a BLOB": (
        ("UPDATE entries SET body = CAST(body AS BLOB) WHERE seq = 9", ()),
        "Ledger: The body of entry 9 is no ASCII text.",
    ),
    "a hash that is a BLOB": (
        ("UPDATE entries SET hash = CAST(hash AS BLOB) WHERE seq = 9", ()),
        "Ledger: The hash of entry 9 is no ASCII text.",
    ),
    "a deletion": (
        ("DELETE FROM entries WHERE seq BETWEEN 5 AND 7", ()),
        "Ledger: Entries 5 to 7 are missing.",
    ),
    "a deleted beginning": (
        ("DELETE FROM entries WHERE seq < 3", ()),
        "Ledger: its first entry does not begin segment 1 of this ledger.",
    ),
    "no entries": (("DELETE FROM entries", ()), "Ledger: there are no entries."),
    "lowered labels": (
        ("UPDATE holders SET labels = 0 WHERE holder = 'holder 2'", ()),
        "The table holders has the row 'holder 2', '', 0, 3, 0, which no entry says.",
    ),
    "a side row that is gone": (
        ("DELETE FROM approvals WHERE seq = 6", ()),
        f"The table approvals lacks the row 6, '{5:064x}', 'holder 5', 8589934592, 7, which the entries say.",
    ),
    "a side row of another type": (
        ("UPDATE outputs SET sha256 = CAST(sha256 AS BLOB)", ()),
        "which no entry says.",
    ),
    "another table": (("CREATE TABLE more (a)", ()), "The table more is no part of a ledger."),
    "another version": (("PRAGMA user_version = 2", ()), "The ledger has the format 2, and not 1."),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_changed_in_the_database_is_said(damage: str, ledger: Path) -> None:
    statement, finding = DAMAGES[damage]
    patch(ledger, statement)
    assert any(finding in one for one in verify(ledger).findings), verify(ledger).findings
    assert all(one.endswith(".") for one in verify(ledger).findings)


def test_a_missing_or_changed_trigger_is_said(ledger: Path) -> None:
    with closing(sqlite3.connect(ledger, isolation_level=None)) as connection:
        connection.execute("DROP TRIGGER entries_update")
        connection.execute("DROP TRIGGER entries_delete")
        connection.execute("CREATE TRIGGER entries_delete BEFORE DELETE ON entries BEGIN SELECT 1; END")
    assert verify(ledger).findings == (
        "The ledger lacks the trigger entries_update.",
        "The trigger entries_delete was changed.",
    )


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"kind": "confinements"}, "no entry of the kind 'confinements' belongs here"),
        ({"kind": "segment", "segment": 1}, "no entry of the kind 'segment' belongs here"),
        ({"kind": "label", "holder": "a", "session": "", "labels": "3"}, "labels is '3', not a whole number"),
        ({"kind": "session", "action": "closed", "holder": "a", "session": "b"}, "is not open"),
        (
            {"kind": "session", "action": "opened", "holder": "a", "session": "b/c", "labels": 0},
            "the session 'b' of 'a' cannot have another one within it",
        ),
    ],
)
def test_a_forged_entry_that_makes_no_sense_is_said(fields: dict[str, Any], why: str, ledger: Path) -> None:
    forged = chained(str(rows_in(ledger)[-1][2]), N_ROWS + 1, fields)
    patch(ledger, ("INSERT INTO entries VALUES (?, ?, ?)", (forged.seq, forged.body, forged.hash)))
    (finding,) = verify(ledger).findings
    assert finding.startswith(f"Ledger: entry {N_ROWS + 1} makes no sense (")
    assert why in finding


def test_a_changed_byte_of_the_file_leaves_the_export_as_it_is_or_is_reported(
    whole: Path, tmp_path: Path
) -> None:
    assert len(export_of(whole) or []) == N_ROWS
    assert unreported_bytes(whole, tmp_path / "damaged.sqlite3", 150, seed=1) == []


def test_a_damaged_name_of_a_column_is_reported(ledger: Path) -> None:
    content = ledger.read_bytes()
    assert b"expires INTEGER" in content
    ledger.write_bytes(content.replace(b"expires INTEGER", b"\xb1xpires INTEGER"))
    findings = verify(ledger).findings
    assert "The table approvals was changed." in findings
    assert any(one.startswith("SQLite cannot read the side tables of the ledger (") for one in findings)


def test_a_truncated_file_is_reported(ledger: Path) -> None:
    with ledger.open("r+b") as file:
        file.truncate(ledger.stat().st_size - 4096)
    assert verify(ledger).findings
    ledger.write_bytes(b"")
    assert "This is no ledger of biofm: it has no table of entries." in verify(ledger).findings
