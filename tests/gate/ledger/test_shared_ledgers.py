"""A ledger works if other processes write to it at the same time, or earlier versions have written it."""

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from biofm.gate import ask, ledger_path
from biofm.gate.ledger.reading import entries_of
from biofm.gate.ledger.verify import verify
from biofm.policy import Request
from tests.conftest import ReadLedger, StartProcess

REMEMBER_MANY = """
import sys
from pathlib import Path
from biofm.api.request import request_of
from biofm.gate import Ledger
from biofm.policy import Decision, Verdict

sys.stdin.readline()
ledger = Ledger(Path(sys.argv[1]))
allow = Verdict(decision=Decision.ALLOW, rule="a rule", reason="a reason", remedy="", evidence=())
for number in range(int(sys.argv[2])):
    request = request_of("embed", options={"number": number})
    ledger.conclude(ledger.remember(request, allow), "completed")
"""

DIE_WHILE_KEEPING = """
import os
import signal
import sqlite3
import sys
from pathlib import Path
from biofm.gate import Ledger


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(sqlite3.Connection):
    def backup(self, copy):
        super().backup(copy, pages=1, progress=die)


if sys.argv[2] == "in the copy":
    connect = sqlite3.connect
    sqlite3.connect = lambda path, **given: connect(path, **{"factory": Dying, **given})
else:
    Path.replace = die
with Ledger(Path(sys.argv[1])).writing():
    pass
"""

MakeRequest = Callable[..., Request]


def remember_at_once(start_python: StartProcess, n_processes: int) -> None:
    """Check this with processes that write twenty requests each."""
    processes = [start_python(REMEMBER_MANY, ledger_path(), 20) for _ in range(n_processes)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.wait() for process in processes] == [0] * n_processes


def test_many_processes_write_at_once_and_nothing_is_lost(
    start_python: StartProcess, read_ledger: ReadLedger
) -> None:
    remember_at_once(start_python, 4)

    assert read_ledger("SELECT count(*), count(DISTINCT request) FROM outcomes") == [(80, 80)]
    assert read_ledger("SELECT count(*) FROM requests") == [(80,)]


# The first version of biofm made this ledger, which is not chained and has no options.
EARLIER = """
CREATE TABLE requests (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, principal TEXT NOT NULL, user TEXT NOT NULL, verb TEXT NOT
    NULL, model TEXT NOT NULL, reads TEXT NOT NULL, writes TEXT NOT NULL, contacts TEXT NOT NULL,
    decision TEXT NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL);
CREATE TABLE outcomes (
    request INTEGER PRIMARY KEY REFERENCES requests (id), time TEXT NOT NULL, outcome TEXT NOT NULL,
    error TEXT NOT NULL);
CREATE TRIGGER requests_UPDATE BEFORE UPDATE ON requests
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER requests_DELETE BEFORE DELETE ON requests
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER outcomes_UPDATE BEFORE UPDATE ON outcomes
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER outcomes_DELETE BEFORE DELETE ON outcomes
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER requests_BEFORE_INSERT BEFORE INSERT ON requests
    WHEN EXISTS (SELECT 1 FROM requests WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER requests_AFTER_INSERT AFTER INSERT ON requests WHEN NEW.id < 1
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER outcomes_BEFORE_INSERT BEFORE INSERT ON outcomes
    WHEN EXISTS (SELECT 1 FROM outcomes WHERE request = NEW.request)
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
CREATE TRIGGER outcomes_AFTER_INSERT AFTER INSERT ON outcomes WHEN NEW.request < 1
    BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END;
"""
EARLIER_COLUMNS = "time, principal, user, verb, model, reads, writes, contacts, decision, rule, reason"
REMEMBER_EARLIER = f"""INSERT INTO requests ({EARLIER_COLUMNS})
    VALUES ('2025-01-01', 'person', 'rosalind', 'embed', 'm', '{{}}', '{{}}', '[]', 'allow', 'a', 'b')"""


@pytest.fixture
def earlier_ledger(state_folder: Path) -> list[tuple[Any, ...]]:
    """Put a ledger of an earlier version in place, and return its rows."""
    ledger_path().parent.mkdir(parents=True)
    with closing(sqlite3.connect(ledger_path())) as connection:
        connection.executescript(EARLIER)
        for _ in range(3):
            connection.execute(REMEMBER_EARLIER)
        connection.execute("INSERT INTO outcomes VALUES (1, '2025-01-02', 'completed', '')")
        connection.commit()
        return connection.execute("SELECT * FROM requests ORDER BY id").fetchall()


def test_a_ledger_of_an_earlier_version_is_kept_beside_the_new_one_and_named_in_it(
    earlier_ledger: list[tuple[Any, ...]], make_request: MakeRequest, caplog: pytest.LogCaptureFixture
) -> None:
    for layer in (2, 3):
        with ask(make_request(options={"layer": layer})):
            pass

    kept = ledger_path().with_name("ledger-before.sqlite3")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT * FROM requests ORDER BY id").fetchall() == earlier_ledger
    first = next(entries_of(ledger_path())).fields
    assert first["before"] == {"name": kept.name, "sha256": sha256(kept.read_bytes()).hexdigest()}
    assert caplog.messages == [
        "biofm: the ledger of an earlier version is kept as ledger-before.sqlite3, and a new one begins"
    ]
    assert verify(ledger_path()).findings == ()
    assert oct(kept.stat().st_mode & 0o777) == "0o600"
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, "ledger.sqlite3"}


@pytest.mark.parametrize("place", ["in the copy", "before the name"])
def test_what_a_process_leaves_that_is_killed_while_it_keeps_an_earlier_ledger_is_removed(
    place: str, earlier_ledger: list[tuple[Any, ...]], make_request: MakeRequest, start_python: StartProcess
) -> None:
    assert start_python(DIE_WHILE_KEEPING, ledger_path(), place).wait() == -signal.SIGKILL
    assert list(ledger_path().parent.glob(".ledger-before.*"))

    with ask(make_request()):
        pass

    kept = ledger_path().with_name("ledger-before.sqlite3")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT * FROM requests ORDER BY id").fetchall() == earlier_ledger
    assert {path.name for path in kept.parent.iterdir()} == {kept.name, "ledger.sqlite3"}
    assert verify(ledger_path()).findings == ()


def test_a_change_of_the_kept_ledger_is_found(
    earlier_ledger: list[tuple[Any, ...]], make_request: MakeRequest
) -> None:
    with ask(make_request()):
        pass
    kept = ledger_path().with_name("ledger-before.sqlite3")
    with kept.open("ab") as file:
        file.write(b"more")
    changed = verify(ledger_path()).findings
    kept.unlink()

    assert changed == ("The ledger of an earlier version, ledger-before.sqlite3, was changed.",)
    assert "cannot be read (No such file" in verify(ledger_path()).findings[0]


def test_many_processes_find_a_ledger_of_an_earlier_version_at_once_and_nothing_is_lost(
    earlier_ledger: list[tuple[Any, ...]], start_python: StartProcess, read_ledger: ReadLedger
) -> None:
    remember_at_once(start_python, 4)

    kept = ledger_path().with_name("ledger-before.sqlite3")
    with closing(sqlite3.connect(kept)) as connection:
        assert connection.execute("SELECT * FROM requests ORDER BY id").fetchall() == earlier_ledger
    numbers = read_ledger("SELECT json_extract(options, '$.number') FROM requests")
    assert sorted(numbers) == sorted([(number,) for number in range(20)] * 4)
    assert verify(ledger_path()).findings == ()


def test_an_earlier_version_that_writes_into_this_ledger_is_found(
    make_request: MakeRequest, read_ledger: ReadLedger
) -> None:
    with ask(make_request(options={"layer": 2})):
        pass
    with closing(sqlite3.connect(ledger_path())) as connection:
        connection.executescript(EARLIER)
        connection.execute(REMEMBER_EARLIER)
        connection.commit()

    with ask(make_request(options={"layer": 3})):
        pass

    assert read_ledger("SELECT count(*) FROM temp.requests") == [(2,)]
    assert "The table requests is no part of a ledger." in verify(ledger_path()).findings
