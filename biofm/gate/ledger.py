"""The ledger: what was asked, what the policy answered, and how it ended, in a SQLite file that only grows.

It has two tables. A row of ``requests`` is written before anything is opened; a row of ``outcomes``, which
refers to it, is written at the end. A request without an outcome was refused, still runs, or was killed.
Triggers forbid everything but appending. Nobody but the owner can read the file and its folder.

A process that finds the ledger locked says so after two seconds and waits for up to a minute: a thousand
shards that start together on one network mount take turns, and none of them should fail for that.
"""

import errno
import json
import logging
import os
import secrets
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from biofm.core.errors import LedgerError
from biofm.gate.partial import rename_to_new
from biofm.policy import Request, Target, Verdict

Outcome = Literal["completed", "failed", "interrupted"]

LOG = logging.getLogger(__name__)

BUSY_TIMEOUT_S = 60.0
NOTICE_S = 2.0
STEP_S = 1.0  # It waits in steps, between which signals are handled.
ANOTHER = "XDG_STATE_HOME to the absolute path of a folder that you can write to"
NOT_PERMITTED = (errno.EACCES, errno.EPERM, errno.EROFS)

# The column ``contacts`` holds the hosts of the request; ledgers that exist have it under this name.
# SQLite's default rollback journal is used, not WAL: home folders on clusters are network mounts, where WAL
# does not work (https://sqlite.org/wal.html, section 1), and two short transactions per run need no more.
SCHEMA = (
    """CREATE TABLE IF NOT EXISTS requests (
        id INTEGER PRIMARY KEY, time TEXT NOT NULL, principal TEXT NOT NULL, user TEXT NOT NULL, verb TEXT NOT
        NULL, model TEXT NOT NULL, reads TEXT NOT NULL, writes TEXT NOT NULL, contacts TEXT NOT NULL,
        decision TEXT NOT NULL, rule TEXT NOT NULL, reason TEXT NOT NULL,
        options TEXT NOT NULL DEFAULT '{}')""",
    """CREATE TABLE IF NOT EXISTS outcomes (
        request INTEGER PRIMARY KEY REFERENCES requests (id), time TEXT NOT NULL, outcome TEXT NOT NULL,
        error TEXT NOT NULL)""",
    *(
        f"""CREATE TRIGGER IF NOT EXISTS {table}_{verb} BEFORE {verb} ON {table}
        BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END"""
        for table in ("requests", "outcomes")
        for verb in ("UPDATE", "DELETE")
    ),
    # INSERT OR REPLACE removes a row without calling the trigger of DELETE. SQLite shows a trigger the number
    # -1 for a new row that has no number yet; therefore no row may have that number.
    *(
        f"""CREATE TRIGGER IF NOT EXISTS {table}_{when}_INSERT {when} INSERT ON {table} WHEN {condition}
        BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END"""
        for table, key in (("requests", "id"), ("outcomes", "request"))
        for when, condition in (
            ("BEFORE", f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})"),
            ("AFTER", f"NEW.{key} < 1"),
        )
    ),
)

HAS_OPTIONS = "SELECT 1 FROM pragma_table_info('requests') WHERE name = 'options'"
ADD_OPTIONS = "ALTER TABLE requests ADD COLUMN options TEXT NOT NULL DEFAULT '{}'"
"""This adds the column of options to a ledger that an earlier version of biofm has created without it."""


def ledger_path() -> Path:
    """Return the path of the ledger, ``$XDG_STATE_HOME/biofm/ledger.sqlite3``.

    The default of ``XDG_STATE_HOME`` is ``~/.local/state`` (on Windows, ``%LOCALAPPDATA%``). A relative one
    is ignored, as the XDG Base Directory Specification demands.

    Raises:
        LedgerError: There is neither a state folder nor a home folder.
    """
    folders = [os.environ.get("XDG_STATE_HOME", ""), os.path.expanduser("~/.local/state")]
    if sys.platform == "win32":
        folders.insert(1, os.environ.get("LOCALAPPDATA", ""))
    for folder in folders:
        if os.path.isabs(folder):
            return Path(folder) / "biofm" / "ledger.sqlite3"
    raise LedgerError("there is no home folder to keep the ledger in", remedy=f"Set {ANOTHER}")


@dataclass(frozen=True, slots=True)
class Ledger:
    """Writes the ledger, which is created at the first entry. Many processes and threads may use it at once.

    Attributes:
        path: The file of the ledger.
    """

    path: Path

    def remember(self, request: Request, verdict: Verdict) -> int:
        """Append a request and its verdict, and return the number of the entry.

        Args:
            request: What was asked.
            verdict: What the policy answered.

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
            json.dumps(request.hosts),
            verdict.decision.name.lower(),
            verdict.rule,
            verdict.reason,
            json.dumps(dict(request.options)),
        )
        columns = (
            "time, principal, user, verb, model, reads, writes, contacts, decision, rule, reason, options"
        )
        return self._append("requests", columns, entry)

    def conclude(self, entry: int, outcome: Outcome, error: str = "") -> None:
        """Append how a request ended.

        Args:
            entry: The number that ``remember`` returned for the request.
            outcome: How it ended.
            error: The class of the error that ended it, without the message; empty if there was none.

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
            _create_private(self.path)
            with closing(sqlite3.connect(self.path, timeout=STEP_S, isolation_level=None)) as connection:
                cursor = connection.cursor()
                # IMMEDIATE waits for the lock here, where waiting is possible, not in the middle.
                self._wait_for(cursor, "BEGIN IMMEDIATE")
                for statement in SCHEMA:
                    cursor.execute(statement)
                if not cursor.execute(HAS_OPTIONS).fetchone():
                    cursor.execute(ADD_OPTIONS)
                yield cursor
                self._wait_for(cursor, "COMMIT")
        except (OSError, sqlite3.Error) as error:
            what, remedy = _explained(error, self.path)
            raise LedgerError(what, where=str(self.path), remedy=remedy) from error

    def _wait_for(self, cursor: sqlite3.Cursor, statement: str) -> None:
        """Execute a statement, and repeat it while the ledger is locked, for up to ``BUSY_TIMEOUT_S``."""
        start, is_told = time.monotonic(), False
        while True:
            try:
                cursor.execute(statement)
                return
            except sqlite3.OperationalError as error:
                waited_s = time.monotonic() - start
                if not _is_locked(error) or waited_s >= BUSY_TIMEOUT_S:
                    raise
            if waited_s >= NOTICE_S and not is_told:
                is_told = True
                LOG.warning(
                    "biofm: another process has locked the ledger %s; waiting for up to %.0f s",
                    self.path,
                    BUSY_TIMEOUT_S,
                )


def _create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, or take the rights of others from an existing one.

    The file is created under another name, because SQLite's locks are lost when any thread of the same
    process closes a descriptor of the file.
    """
    if not path.exists():
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with suppress(FileExistsError):
            rename_to_new(new, path)
        new.unlink(missing_ok=True)
    if sys.platform == "win32":
        return
    for one in (path.parent, path):
        mode = one.stat().st_mode
        if mode & 0o077:
            try:
                one.chmod(mode & 0o700)
            except PermissionError:
                LOG.warning("biofm: other users can read %s, and only its owner can change that", one)


def _explained(error: Exception, path: Path) -> tuple[str, str]:
    """Return what is wrong with the ledger, and what to do."""
    name = getattr(error, "sqlite_errorname", "")
    number = error.errno if isinstance(error, OSError) else 0
    away = f"Move it away (mv {path} {path}.old): the next command starts a new one"
    what, remedy = f"the ledger cannot be written ({error})", f"Set {ANOTHER}"
    if path.is_dir():
        what, remedy = "this is a folder, but the ledger must be a file", away
    elif _is_locked(error):
        what = f"another process has locked the ledger for {BUSY_TIMEOUT_S:.0f} s"
        remedy = f"Wait until it ends, or end it (`fuser {path}` shows its number)"
    elif name in ("SQLITE_NOTADB", "SQLITE_CORRUPT"):
        what, remedy = f"the ledger is damaged ({error})", away
    elif name == "SQLITE_ERROR":
        what, remedy = f"another version of biofm has written the ledger ({error})", away
    elif name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR") or number in (errno.ENOSPC, errno.EDQUOT):
        what = f"the disk of the ledger is full or faulty ({error})"
        remedy = f"Free some space there. Or set {ANOTHER}"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")) or number in NOT_PERMITTED:
        what = f"biofm has no permission to write the ledger ({error})"
        remedy = f"Make it and its folder writable: ls -ld {path.parent} {path}. Or set {ANOTHER}"
    return what, remedy


def _is_locked(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _where(path: Path) -> str:
    return "-" if path == Path("-") else str(path.absolute())


def _described(target: Target) -> dict[str, str | bool]:
    return {"path": _where(target.path), "kind": target.kind, "overwrite": target.overwrite}


def _storable(value: str | int) -> str | int:
    # A file name may hold bytes that are not UTF-8. Python keeps them as lone surrogates, and SQLite cannot.
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
