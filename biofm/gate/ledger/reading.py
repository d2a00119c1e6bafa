"""Reads the ledger: a snapshot of the database, taken in one transaction, and the archives beside it.

A snapshot is read at once and then let go, because whoever keeps reading keeps others from writing.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biofm.core.errors import LedgerError
from biofm.gate.ledger import database
from biofm.gate.ledger.entries import Entry, entry_of_line
from biofm.gate.ledger.schema import SIDE_TABLES, objects_of
from biofm.gate.ledger.segments import archive_folder

Row = tuple[int, str | bytes, str | bytes]
"""The number, body and hash of an entry as they are stored: bytes where they are no ASCII text."""


@dataclass(slots=True)
class Snapshot:
    """Holds all that the database says at one moment.

    Attributes:
        version: The version of the tables.
        objects: The statements that made the tables, indices and triggers.
        integrity: What SQLite's own check finds wrong.
        rows: The entries.
        tables: The rows of each side table, with the type of each value.
        faults: What could not be read, and why.
    """

    version: int = 0
    objects: dict[str, str] = field(default_factory=dict)
    integrity: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    tables: dict[str, list[Any]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def snapshot_of(path: Path) -> Snapshot:
    """Read the whole database, as far as it can be read.

    Raises:
        LedgerError: There is no ledger.
    """
    found = Snapshot()
    try:
        with _reading(path) as connection:
            found.version = connection.execute("PRAGMA user_version").fetchone()[0]
            for what, read in (
                ("check", _read_integrity),
                ("schema", _read_objects),
                ("entries", _read_rows),
                ("side tables", _read_tables),
            ):
                try:
                    read(connection, found)
                except (sqlite3.Error, UnicodeDecodeError) as error:
                    found.faults.append(f"SQLite cannot read the {what} of the ledger ({error}).")
    except (sqlite3.Error, UnicodeDecodeError) as error:
        found.faults.append(f"SQLite cannot open the ledger ({error}).")
    return found


def entries_of(path: Path) -> Iterator[Entry]:
    """Yield all entries, those of the archives first.

    Raises:
        LedgerError: There is no ledger, or a part of it cannot be read.
    """
    remedy = "Say `biofm audit verify` to see all that is wrong with it"
    try:
        with _reading(path) as connection:
            rows = rows_of(connection)
    except (sqlite3.Error, UnicodeDecodeError) as error:
        what = f"this is no ledger of biofm, or it is damaged ({error})"
        if database.is_locked(error):
            what, remedy = database.explained(error, path)
        raise LedgerError(what, where=str(path), remedy=remedy) from error
    live = [_whole(row, path, remedy) for row in rows]
    try:
        n_archives = int(live[0].fields["segment"]) - 1 if live else 0
    except (ValueError, TypeError, KeyError) as error:
        raise LedgerError(
            "its first entry does not begin a segment", where=str(path), remedy=remedy
        ) from error
    for number in range(1, n_archives + 1):
        archive = archive_folder(path) / f"{number:06d}.jsonl"
        try:
            yield from map(entry_of_line, archive.read_text(encoding="ascii").splitlines())
        except (OSError, ValueError) as error:
            what = f"this archive of the ledger cannot be read ({error})"
            raise LedgerError(what, where=str(archive), remedy=remedy) from error
    yield from live


def rows_of(connection: sqlite3.Connection) -> list[Row]:
    """Return the entries as they are stored, in the order of their numbers."""
    query = "SELECT seq, typeof(body), body, typeof(hash), hash FROM entries ORDER BY seq"
    return [
        (seq, _text(body_type, body), _text(hash_type, hash_))
        for seq, body_type, body, hash_type, hash_ in connection.execute(query)
    ]


def table_of(connection: sqlite3.Connection, name: str) -> list[Any]:
    """Return the rows of a side table, with the type of each value."""
    columns = SIDE_TABLES[name]
    values = ", ".join(f"{one}, typeof({one})" for one in columns)
    return connection.execute(f"SELECT {values} FROM {name} ORDER BY {', '.join(columns)}").fetchall()


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database and begin a transaction that reads. Texts are given as bytes."""
    if not path.exists():
        what = "there is no ledger yet"
        raise LedgerError(what, where=str(path), remedy="Each verb of biofm, such as embed, begins one")
    if not path.is_file():
        what = "this is not an ordinary file, and a ledger is one"
        raise LedgerError(what, where=str(path), remedy="Name the file ledger.sqlite3 of an account")
    uri = f"{path.absolute().as_uri()}?mode=rw"
    with database.ending(
        sqlite3.connect(uri, uri=True, timeout=database.BUSY_TIMEOUT_S, isolation_level=None)
    ) as connection:
        connection.text_factory = bytes
        connection.execute("BEGIN")
        yield connection


def _read_integrity(connection: sqlite3.Connection, found: Snapshot) -> None:
    answers = [_shown(row[0]) for row in connection.execute("PRAGMA integrity_check")]
    found.integrity = [answer for answer in answers if answer != "ok"]


def _read_objects(connection: sqlite3.Connection, found: Snapshot) -> None:
    found.objects = objects_of(connection)


def _read_rows(connection: sqlite3.Connection, found: Snapshot) -> None:
    found.rows = rows_of(connection)


def _read_tables(connection: sqlite3.Connection, found: Snapshot) -> None:
    found.tables = {name: table_of(connection, name) for name in SIDE_TABLES}


def _text(kind: bytes, value: Any) -> str | bytes:
    if not isinstance(value, bytes):
        return repr(value).encode()
    return value.decode("ascii") if kind == b"text" and value.isascii() else value


def _shown(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _whole(row: Row, path: Path, remedy: str) -> Entry:
    seq, body, hash_ = row
    if isinstance(body, bytes) or isinstance(hash_, bytes):
        raise LedgerError("an entry is damaged", where=f"{path}, entry {seq}", remedy=remedy)
    return Entry(seq, body, hash_)
