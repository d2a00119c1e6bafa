"""The ledger holds requests and outcomes, only grows, and says what is wrong if it cannot be written."""

import json
import os
import resource
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from biofm.core import LedgerError
from biofm.gate import Ledger, ask, ledger_path
from biofm.gate.ledger import FileIdentity, database
from biofm.policy import Content, Decision, Principal, Request, Target, Verdict
from tests.conftest import ReadLedger

REMEDY = "Set XDG_STATE_HOME to the absolute path of a folder that you can write to"
ALLOW = Verdict(decision=Decision.ALLOW, rule="a rule", reason="a reason", remedy="", evidence=())

MakeRequest = Callable[..., Request]


def test_the_ledger_lies_in_the_state_folder(state_folder: Path) -> None:
    assert ledger_path() == state_folder / "biofm" / "ledger.sqlite3"


@pytest.mark.parametrize("state", ["", "relative/state"])
def test_without_a_state_folder_the_ledger_lies_in_the_home(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", state)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert ledger_path() == tmp_path / ".local" / "state" / "biofm" / "ledger.sqlite3"


def test_without_a_home_the_ledger_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_001)  # The system does not know this account.

    with pytest.raises(LedgerError) as caught:
        ledger_path()

    assert str(caught.value) == f"there is no home folder to keep the ledger in. {REMEDY}"


def test_an_entry_holds_who_asked_for_what_and_why_it_was_allowed(
    tmp_path: Path, make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    request = make_request(
        {"weights": (Path("a.safetensors"), tmp_path / "b.safetensors"), "input": Path("-")},
        {"output": Target(path=tmp_path / "out.h5ad", overwrite=True)},
        verb="load",
        principal=Principal(kind="person", name="rosalind"),
        hosts=("huggingface.co",),
        sends=frozenset({Content.FREE}),
        model="facebook/esm2",
    )

    Ledger(ledger_path()).remember(request, ALLOW)

    ((principal, user, verb, model, reads, writes, contacts, *verdict),) = read_ledger(
        "SELECT principal, user, verb, model, reads, writes, hosts, decision, rule, reason FROM requests"
    )
    assert (principal, user, verb, model) == ("person", "rosalind", "load", "facebook/esm2")
    assert json.loads(reads) == {
        "weights": [os.path.abspath("a.safetensors"), str(tmp_path / "b.safetensors")],
        "input": ["-"],
    }
    assert json.loads(writes) == {
        "output": {"path": str(tmp_path / "out.h5ad"), "kind": "file", "overwrite": True}
    }
    assert json.loads(contacts) == ["huggingface.co"]
    assert verdict == ["allow", "a rule", "a reason"]


def test_an_entry_holds_the_options_as_json(make_request: MakeRequest, read_ledger: ReadLedger) -> None:
    options = {
        "layer": -1,
        "window": None,
        "temperature": 0.5,
        "resume": False,
        "output": "prot\xe9ines.csv",
        "inputs": ("a", ("b", 2)),
        "not utf-8": os.fsdecode(b"prot\xe9ines"),
    }

    Ledger(ledger_path()).remember(make_request(options=options), ALLOW)

    ((kept, layer),) = read_ledger("SELECT options, json_extract(options, '$.layer') FROM requests")
    assert json.loads(kept) == options | {"inputs": ["a", ["b", 2]], "not utf-8": r"prot\udce9ines"}
    assert layer == -1


def test_a_request_without_options_is_kept_with_none(
    make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    Ledger(ledger_path()).remember(make_request(), ALLOW)

    assert read_ledger("SELECT options FROM requests") == [("{}",)]


def test_times_are_utc(make_request: MakeRequest, read_ledger: ReadLedger) -> None:
    Ledger(ledger_path()).remember(make_request(), ALLOW)

    (difference_s,) = read_ledger("SELECT abs(strftime('%s', 'now') - strftime('%s', time)) FROM requests")[0]
    assert difference_s < 60
    assert read_ledger("SELECT time LIKE '%+00:00' FROM requests") == [(1,)]


def test_a_file_name_that_is_no_utf8_is_kept(make_request: MakeRequest, read_ledger: ReadLedger) -> None:
    name = os.fsdecode(b"prot\xe9ines")
    request = make_request({"input": Path("/", name)}, model=name)

    Ledger(ledger_path()).remember(request, ALLOW)

    ((model, reads),) = read_ledger("SELECT model, reads FROM requests")
    assert model == r"prot\udce9ines"
    assert json.loads(reads) == {"input": [r"/prot\udce9ines"]}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET body = '{}'",
        "UPDATE OR REPLACE entries SET hash = 'a'",
        "UPDATE entries SET seq = seq + 10",
        "DELETE FROM entries",
        "DELETE FROM entries WHERE seq = 3",
        "INSERT OR REPLACE INTO entries SELECT seq, '{}', hash FROM entries",
        "REPLACE INTO entries SELECT seq, '{}', hash FROM entries",
        "INSERT OR IGNORE INTO entries SELECT seq, '{}', hash FROM entries",
        "INSERT INTO entries SELECT seq, body, hash FROM entries WHERE 1 ON CONFLICT DO UPDATE SET body = ''",
        "INSERT INTO entries VALUES (-1, '{}', 'a')",
        "INSERT INTO entries VALUES (NULL, '{}', 'a')",
        "INSERT INTO entries VALUES (7, '{}', 'a')",
        "DELETE FROM holders",
        "UPDATE holders SET labels = 0",
        "UPDATE holders SET holder = 'another'",
        "UPDATE outputs SET labels = 1",
        "DELETE FROM outputs",
        "UPDATE approvals SET used = 0",
        "DELETE FROM approvals",
    ],
)
def test_what_is_written_can_be_neither_changed_nor_removed(change: str, make_request: MakeRequest) -> None:
    with ask(make_request()):
        pass
    with Ledger(ledger_path()).writing() as book:
        book.raise_labels("me", "", 3)
        book.note_output(FileIdentity(1, 2, 3, 4), "", 2, "me", path="/a", request=2)
        book.note_approval("a hash", "me", 2**33)
        book.use_approval("a hash", "me", 0)
    before = dump(ledger_path())

    with (
        closing(sqlite3.connect(ledger_path())) as connection,
        pytest.raises(sqlite3.IntegrityError, match="the ledger only grows"),
    ):
        connection.execute(change)

    assert dump(ledger_path()) == before


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_a_ledger_that_cannot_be_written_names_its_path_and_the_remedy(
    tmp_path: Path, make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))

    with pytest.raises(LedgerError) as caught, ask(make_request()):
        pytest.fail("the work began")

    assert str(caught.value).startswith(f"{ledger_path()}: the ledger cannot be written (")
    assert str(caught.value).endswith(f"another place: s{REMEDY[1:]}")


def mode_of(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


def test_the_ledger_is_its_owners_alone_from_the_first(make_request: MakeRequest) -> None:
    before = os.umask(0)
    try:
        with ask(make_request()):
            assert (mode_of(ledger_path()), mode_of(ledger_path().parent)) == ("0o600", "0o700")
    finally:
        os.umask(before)
    assert [path.name for path in ledger_path().parent.iterdir()] == ["ledger.sqlite3"]


def test_an_older_ledger_that_others_could_read_is_closed_to_them(make_request: MakeRequest) -> None:
    with ask(make_request()):
        pass
    ledger_path().chmod(0o644)
    ledger_path().parent.chmod(0o755)

    with ask(make_request()):
        assert (mode_of(ledger_path()), mode_of(ledger_path().parent)) == ("0o600", "0o700")


def lock(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def test_a_locked_ledger_is_told_of_while_it_is_waited_for_and_named_in_the_end(
    make_request: MakeRequest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert (database.NOTICE_S, database.BUSY_TIMEOUT_S) == (2, 60)
    for name, seconds in (("STEP_S", 0.02), ("NOTICE_S", 0.02), ("BUSY_TIMEOUT_S", 0.1)):
        monkeypatch.setattr(database, name, seconds)
    with ask(make_request()):
        pass

    with closing(lock(ledger_path())), pytest.raises(LedgerError) as caught, ask(make_request()):
        pytest.fail("the work began")

    (told,) = caplog.messages
    assert told.startswith(f"biofm: another process has locked the ledger {ledger_path()}; waiting for up to")
    assert str(caught.value).startswith(f"{ledger_path()}: another process has locked the ledger for ")
    assert caught.value.remedy == f"Wait until it ends, or end it (`fuser {ledger_path()}` shows its number)"


def place_a_folder(path: Path) -> None:
    path.mkdir()


def damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE requests (id)")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(bytes(4000))


def write_other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE requests (id INTEGER PRIMARY KEY, who TEXT)")


WRONG_LEDGERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a folder": (place_a_folder, "this is a folder", "Move it away (mv"),
    "another file": (
        lambda path: path.write_text("something else entirely" * 99),
        "is damaged",
        "Move it away",
    ),
    "a damaged one": (damage, "is damaged (", "Move it away (mv"),
    "one with other tables": (
        write_other_tables,
        "another version of biofm has written the ledger (",
        "Move it away (mv",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_LEDGERS)
def test_a_ledger_that_cannot_be_used_says_what_is_wrong_with_it_and_what_to_do(
    wrong: str, make_request: MakeRequest
) -> None:
    make, what, remedy = WRONG_LEDGERS[wrong]
    ledger_path().parent.mkdir(parents=True)
    make(ledger_path())

    with pytest.raises(LedgerError) as caught, ask(make_request()):
        pytest.fail("the work began")

    assert what in caught.value.what
    assert caught.value.remedy.startswith(remedy)
    assert "XDG_STATE_HOME" not in caught.value.remedy


def test_a_ledger_on_a_full_disk_says_so(make_request: MakeRequest) -> None:
    with ask(make_request()):
        pass
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))  # less than a page
    try:
        with pytest.raises(LedgerError) as caught, ask(make_request()):
            pytest.fail("the work began")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert str(caught.value).startswith(f"{ledger_path()}: the disk of the ledger is full or faulty (")
    assert caught.value.remedy.startswith("Free some space there. Or set XDG_STATE_HOME")
    with ask(make_request()):  # The error, which is still held, holds no lock.
        pass


def test_a_ledger_that_may_not_be_written_says_so(plain_folder: Path, make_request: MakeRequest) -> None:
    with ask(make_request()):
        pass
    ledger_path().chmod(0o400)

    with pytest.raises(LedgerError) as caught, ask(make_request()):
        pytest.fail("the work began")

    assert "biofm has no permission to write the ledger (attempt to write a readonly" in str(caught.value)
    assert caught.value.remedy.startswith(f"Make it and its folder writable: ls -ld {ledger_path().parent}")


def test_a_read_only_state_folder_is_a_ledger_error(plain_folder: Path, make_request: MakeRequest) -> None:
    (plain_folder / "state").mkdir(mode=0o500)

    with pytest.raises(LedgerError, match="Permission denied") as caught, ask(make_request()):
        pytest.fail("the work began")

    assert caught.value.remedy.endswith(f"Or s{REMEDY[1:]}")
