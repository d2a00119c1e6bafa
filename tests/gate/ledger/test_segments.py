"""The ledger does not grow without bound: its entries move to archives, and the chain goes on."""

import shutil
import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from biofm.core import LedgerError
from biofm.gate import Ledger
from biofm.gate.ledger import segments
from biofm.gate.ledger.entries import canonical
from biofm.gate.ledger.reading import entries_of
from biofm.gate.ledger.verify import verify

N_ENTRIES = 30


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a ledger whose segments have thirty entries or a few more."""
    ledger = Ledger(tmp_path_factory.mktemp("whole") / "ledger.sqlite3")
    with pytest.MonkeyPatch.context() as context:
        context.setattr(segments, "FEWEST_ENTRIES", N_ENTRIES)
        context.setattr(segments, "MOST_ENTRIES", N_ENTRIES)
        for number in range(15):
            with ledger.writing() as book:
                for _ in range(5):
                    book.append("confinement", {"number": number})
                book.raise_labels("me", "", number)
    return ledger.path.parent


@pytest.fixture
def ledger(whole: Path, tmp_path: Path) -> Ledger:
    """Return a copy of the ledger that this test may damage."""
    shutil.copytree(whole, tmp_path / "copy")
    return Ledger(tmp_path / "copy" / "ledger.sqlite3")


def archives(ledger: Ledger) -> list[Path]:
    return sorted((ledger.path.parent / "ledger-archive").iterdir())


def test_the_bounds_are_named() -> None:
    assert (segments.MOST_ENTRIES, segments.MOST_BYTES) == (50_000, 64 << 20)


def test_archived_entries_stay_in_the_chain_and_leave_the_database(ledger: Ledger) -> None:
    found = list(entries_of(ledger.path))
    with closing(sqlite3.connect(ledger.path)) as connection:
        (first, n_rows) = connection.execute("SELECT min(seq), count(*) FROM entries").fetchone()
    assert n_rows < N_ENTRIES + 6
    assert [entry.seq for entry in found] == list(range(1, len(found) + 1))
    fields = found[first - 1].fields
    last = archives(ledger)[-1]
    assert fields["segment"] == len(archives(ledger)) + 1
    assert fields["previous"] == found[first - 2].hash
    assert fields["archive"]["name"] == last.name
    assert fields["archive"]["last"] == first - 1
    assert fields["archive"]["sha256"] == sha256(last.read_bytes()).hexdigest()
    assert [oct(path.stat().st_mode & 0o777) for path in (last, last.parent)] == ["0o600", "0o700"]
    assert verify(ledger.path).findings == ()
    with ledger.writing() as book:
        assert book.held("me") == 15


def test_a_ledger_of_many_bytes_is_archived_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "FEWEST_ENTRIES", 5)
    monkeypatch.setattr(segments, "MOST_BYTES", 70_000)
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    for _ in range(25):
        with ledger.writing() as book:
            book.append("confinement", {"text": "a" * 10_000})
    assert len(archives(ledger)) > 2
    assert ledger.path.stat().st_size < 200_000
    assert verify(ledger.path).findings == ()


def test_entries_that_are_in_no_archive_cannot_be_deleted(ledger: Ledger) -> None:
    with closing(sqlite3.connect(ledger.path)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="the ledger only grows"):
            connection.execute("DELETE FROM entries")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM entries").fetchone()[0] > 0


def test_a_changed_byte_of_an_archive_is_found(ledger: Ledger) -> None:
    for path in archives(ledger):
        content = path.read_bytes()
        for place in range(0, len(content), 97):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            assert verify(ledger.path).findings
        path.write_bytes(content)
    assert verify(ledger.path).findings == ()


def test_a_missing_a_swapped_and_a_rewritten_archive_are_found(ledger: Ledger) -> None:
    first, second, *_ = archives(ledger)
    contents = first.read_bytes(), second.read_bytes()
    first.unlink()
    lost = verify(ledger.path).findings
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    swapped = verify(ledger.path).findings
    first.write_bytes(b"".join(contents[0].splitlines(keepends=True)[:-1]))
    second.write_bytes(contents[1])
    cut = verify(ledger.path).findings

    assert "Archive 000001.jsonl cannot be read (No such file or directory)." in lost
    assert "Archive 000001.jsonl is not the archive that the entry after it records." in swapped
    assert "Archive 000001.jsonl is not the archive that the entry after it records." in cut
    first.unlink()
    with pytest.raises(LedgerError, match="this archive of the ledger cannot be read"):
        list(entries_of(ledger.path))


def test_an_archive_of_this_name_that_is_another_is_kept_aside(tmp_path: Path) -> None:
    folder = tmp_path / "ledger-archive"
    folder.mkdir()
    (folder / "000001.jsonl").write_text("something else")
    ledger = Ledger(tmp_path / "ledger.sqlite3")
    with pytest.MonkeyPatch.context() as context:
        context.setattr(segments, "FEWEST_ENTRIES", 2)
        context.setattr(segments, "MOST_ENTRIES", 2)
        for _ in range(2):
            with ledger.writing() as book:
                book.append("confinement", {})
    (aside,) = folder.glob("*.aside")
    assert aside.read_text() == "something else"
    assert verify(ledger.path).findings == ()


def test_lines_are_canonical(ledger: Ledger) -> None:
    for entry in entries_of(ledger.path):
        assert canonical(entry.fields) == entry.body
        assert entry.line.isascii()
