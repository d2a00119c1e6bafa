"""The ledger: what was asked, what was answered, and how it ended, in one SQLite file that only grows.

Two tables: ``requests``, one row written before anything is opened, and ``outcomes``, one row written at the
end that refers to it. A request without an outcome was refused, still runs, or was killed. Triggers hold both
tables to appending.
"""

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from biofm.core.errors import LedgerError
from biofm.policy import Request, Target, Verdict

Outcome = Literal["completed", "failed", "interrupted"]

BUSY_TIMEOUT_S = 60.0
REMEDY = "Set XDG_STATE_HOME to the absolute path of a folder that can be written"

# The default rollback journal, not WAL: home folders on clusters are network mounts, where WAL does not work
# (https://sqlite.org/wal.html, section 1), and two short transactions a run need no more.
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS requests (
        id INTEGER PRIMARY KEY, time TEXT NOT NULL, principal TEXT NOT NULL, user TEXT NOT NULL, verb TEXT NOT
        NULL, model TEXT NOT NULL, reads TEXT NOT NULL, writes TEXT NOT NULL, contacts TEXT NOT NULL,
        decision TEXT NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS outcomes (
        request INTEGER PRIMARY KEY REFERENCES requests (id), time TEXT NOT NULL, outcome TEXT NOT NULL,
        error TEXT NOT NULL)""",
    *(
        f"""CREATE TRIGGER IF NOT EXISTS {table}_{verb} BEFORE {verb} ON {table}
        BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END"""
        for table in ("requests", "outcomes")
        for verb in ("UPDATE", "DELETE")
    ),
)


def ledger_path() -> Path:
    """``$XDG_STATE_HOME/biofm/ledger.sqlite3``, by default below ``~/.local/state`` (on Windows,
    ``%LOCALAPPDATA%``).

    A relative ``XDG_STATE_HOME`` is ignored, as the XDG Base Directory Specification demands.

    Raises:
        LedgerError: There is neither a state folder nor a home folder.
    """
    folders = [os.environ.get("XDG_STATE_HOME", ""), os.path.expanduser("~/.local/state")]
    if sys.platform == "win32":
        folders.insert(1, os.environ.get("LOCALAPPDATA", ""))
    for folder in folders:
        if os.path.isabs(folder):
            return Path(folder) / "biofm" / "ledger.sqlite3"
    raise LedgerError("there is no home folder to keep the ledger in", remedy=REMEDY)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger at ``path``, created at the first entry. Safe for many processes and threads at once."""

    path: Path

    def remember(self, request: Request, verdict: Verdict) -> int:
        """Append a request and its verdict; returns the entry's number.

        Raises:
            LedgerError: The entry cannot be written.
        """
        entry = (
            _now(),
            request.principal.kind,
            request.principal.name,
            request.verb,
            request.model,
            json.dumps({role: [_where(path) for path in paths] for role, paths in request.reads.items()}),
            json.dumps({role: _described(target) for role, target in request.writes.items()}),
            json.dumps(request.contacts),
            verdict.decision.name.lower(),
            verdict.rule,
            verdict.reason,
        )
        columns = "time, principal, user, verb, model, reads, writes, contacts, decision, rule, reason"
        return self._append("requests", columns, entry)

    def conclude(self, entry: int, outcome: Outcome, error: str = "") -> None:
        """Append how the request of that number ended; ``error`` is the kind of error, without its message.

        Raises:
            LedgerError: The outcome cannot be written.
        """
        self._append("outcomes", "request, time, outcome, error", (entry, _now(), outcome, error))

    def _append(self, table: str, columns: str, values: tuple[str | int, ...]) -> int:
        marks = ", ".join("?" * len(values))
        with self._transaction() as cursor:
            cursor.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", tuple(map(_storable, values)))
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Cursor]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(
                sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            ) as connection:
                cursor = connection.cursor()
                # IMMEDIATE: wait for the lock here, where waiting is possible, not in the middle.
                cursor.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA:
                    cursor.execute(statement)
                yield cursor
                cursor.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            what = f"the ledger cannot be written ({error})"
            raise LedgerError(what, where=str(self.path), remedy=REMEDY) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _where(path: Path) -> str:
    return "-" if path == Path("-") else str(path.absolute())


def _described(target: Target) -> dict[str, str | bool]:
    return {"path": _where(target.path), "kind": target.kind, "overwrite": target.overwrite}


def _storable(value: str | int) -> str | int:
    # A file name may hold bytes that are no UTF-8; Python keeps them as lone surrogates, which SQLite cannot.
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
