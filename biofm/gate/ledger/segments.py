"""Segments: the entries of a full ledger move to an archive, and the chain goes on.

In one transaction the archive is written under a hidden name, synced and renamed; an entry of the kind
"segment" records its name and its sha256; and its entries are deleted. Before the commit nothing is deleted,
and whoever comes next after a crash finds the same entries and writes the same archive again.
"""

import hashlib
import os
import secrets
import sqlite3
from contextlib import closing, suppress
from glob import escape
from pathlib import Path
from typing import Any

from biofm.core.errors import LedgerError
from biofm.gate.ledger import schema
from biofm.gate.ledger.database import LOG, move_away, sync_folder
from biofm.gate.ledger.entries import NO_HASH, Entry, chained, now

MOST_ENTRIES = 50_000
MOST_BYTES = 64 << 20
FEWEST_ENTRIES = 1_000
"""A ledger whose side tables alone are large is not archived for every few entries."""
EARLIER = {"requests", "outcomes"}
"""The tables of a ledger that an earlier version of biofm has written."""


def archive_folder(path: Path) -> Path:
    """Return the folder of the archives of a ledger."""
    return path.with_name(f"{path.stem}-archive")


def start(connection: sqlite3.Connection, path: Path) -> None:
    """Create the tables of a new ledger and its first entry, and keep the ledger of an earlier version.

    Raises:
        LedgerError: The file has tables that are of no ledger known here.
        OSError, sqlite3.Error: The ledger cannot be written.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    before = None
    if version == 0 and tables == EARLIER:
        before = _keep_earlier(path)
        connection.execute("DROP TABLE outcomes")
        connection.execute("DROP TABLE requests")
        LOG.warning(
            "biofm: the ledger of an earlier version is kept as %s, and a new one begins", before["name"]
        )
    elif version or tables:
        facts = f"the format {version}, the tables {', '.join(sorted(tables)) or 'none'}"
        what = f"another version of biofm has written the ledger ({facts})"
        raise LedgerError(what, where=str(path), remedy=move_away(path))
    schema.create(connection.cursor())
    fields = {
        "format": schema.FORMAT, "ledger": secrets.token_hex(16), "segment": 1, "previous": NO_HASH,
        "archive": None, "before": before,
    }  # fmt: skip
    _append(connection, NO_HASH, 1, fields)


def is_full(connection: sqlite3.Connection) -> bool:
    """Return whether the entries should move to an archive before the next is appended."""
    first, last = connection.execute(
        "SELECT (SELECT min(seq) FROM entries), (SELECT max(seq) FROM entries)"
    ).fetchone()
    n_entries = last - first + 1
    if n_entries < FEWEST_ENTRIES:
        return False
    if n_entries >= MOST_ENTRIES:
        return True
    n_pages, n_free, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return bool((n_pages - n_free) * page_bytes >= MOST_BYTES)


def archive(connection: sqlite3.Connection, path: Path) -> None:
    """Move all entries to an archive, and begin a new segment.

    Raises:
        LedgerError: The first entry does not say which segment this is.
        OSError, sqlite3.Error: The ledger or its archive cannot be written.
    """
    entries = [Entry(*row) for row in connection.execute("SELECT seq, body, hash FROM entries ORDER BY seq")]
    first = current_segment(connection, path)
    last = entries[-1]
    content = "".join(f"{entry.line}\n" for entry in entries).encode("ascii")
    name = f"{first['segment']:06d}.jsonl"
    _publish(archive_folder(path), name, content)
    fields = {
        "format": schema.FORMAT, "ledger": first["ledger"], "segment": first["segment"] + 1,
        "previous": last.hash, "before": None,
        "archive": {
            "name": name, "sha256": hashlib.sha256(content).hexdigest(),
            "first": entries[0].seq, "last": last.seq,
        },
    }  # fmt: skip
    _append(connection, last.hash, last.seq + 1, fields)
    connection.execute("DELETE FROM entries WHERE seq <= ?", (last.seq,))


def current_segment(connection: sqlite3.Connection, path: Path) -> dict[str, Any]:
    """Return the fields of the entry with which the current segment begins.

    Raises:
        LedgerError: The first entry is no such entry.
    """
    row = connection.execute("SELECT seq, body, hash FROM entries ORDER BY seq LIMIT 1").fetchone()
    try:
        fields = Entry(*row).fields
        if type(fields["segment"]) is int and isinstance(fields["ledger"], str):
            return fields
    except (ValueError, TypeError, KeyError):
        pass
    what = "the ledger is damaged (its first entry does not begin a segment)"
    raise LedgerError(what, where=str(path), remedy=move_away(path))


def _append(connection: sqlite3.Connection, previous: str, seq: int, fields: dict[str, Any]) -> None:
    entry = chained(previous, seq, {"kind": "segment", "time": now(), **fields})
    connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (entry.seq, entry.body, entry.hash))


def _publish(folder: Path, name: str, content: bytes) -> None:
    """Write an archive under a hidden name, and rename it when it is on the disk.

    A file of this name comes from a crash before the commit, and begins alike. Any other is kept aside.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    for leftover in folder.glob(".*.jsonl.*"):
        leftover.unlink(missing_ok=True)
    hidden = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        with open(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            if not content.startswith((folder / name).read_bytes()):
                (folder / name).rename(folder / f"{name}.{secrets.token_hex(4)}.aside")
        hidden.replace(folder / name)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    sync_folder(folder.parent)


def _keep_earlier(path: Path) -> dict[str, str]:
    """Copy the ledger of an earlier version to a file beside it, and return the file's name and sha256.

    SQLite copies it, because opening and closing the file here would end SQLite's locks. It does so by a
    connection of its own, which reads what was last committed while the lock of the other keeps it so.
    Because of that lock, a hidden copy that lies here already, or SQLite's journal of one, was left by a
    process that was killed.
    """
    for leftover in path.parent.glob(f".{escape(path.stem)}-before.*"):
        leftover.unlink(missing_ok=True)
    hidden = path.with_name(f".{path.stem}-before.{secrets.token_hex(4)}")
    try:
        os.close(os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(hidden)) as copy:
            source.backup(copy)
        with hidden.open("r+b") as file:
            content = file.read()
            os.fsync(file.fileno())
        target = _name_for(path, content)
        hidden.replace(target)
    except BaseException:
        hidden.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
    return {"name": target.name, "sha256": hashlib.sha256(content).hexdigest()}


def _name_for(path: Path, content: bytes) -> Path:
    """Return a name for the earlier ledger: one that is free, or that a crash has left with this content."""
    number = 1
    while True:
        number_text = "" if number == 1 else f"-{number}"
        target = path.with_name(f"{path.stem}-before{number_text}{path.suffix}")
        if not target.exists() or target.read_bytes() == content:
            return target
        number += 1
