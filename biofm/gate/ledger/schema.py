"""The tables of the ledger: the chain of entries, and side tables that are folded from it for speed.

Triggers forbid everything but appending to the chain. Entries that stand in an archive may be deleted, and
only while the newest entry is the one that names that archive. Labels of the side tables only rise, a session
is closed once, and an approval is used once.
"""

import sqlite3
from contextlib import closing
from functools import cache

FORMAT = 1
"""The version of the tables. SQLite keeps it as ``user_version``."""
SIDE_TABLES = {
    "holders": ("holder", "session", "labels", "opened_seq", "closed_seq"),
    "outputs": ("device", "inode", "size", "ctime_ns", "sha256", "labels", "holder"),
    "approvals": ("seq", "request_hash", "holder", "expires", "used"),
}
"""The columns of each side table."""

_GROWS = "BEGIN SELECT RAISE(ABORT, 'the ledger only grows'); END"
_NEWEST = "(SELECT json_extract(body, '$.archive.last') FROM entries ORDER BY seq DESC LIMIT 1)"

SCHEMA = (
    """CREATE TABLE entries (
        seq INTEGER PRIMARY KEY,
        body TEXT NOT NULL CHECK (typeof(body) = 'text'),
        hash TEXT NOT NULL CHECK (typeof(hash) = 'text'))""",
    """CREATE TABLE holders (
        holder TEXT NOT NULL, session TEXT NOT NULL, labels INTEGER NOT NULL, opened_seq INTEGER NOT NULL,
        closed_seq INTEGER NOT NULL, PRIMARY KEY (holder, session, opened_seq)) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX open_sessions ON holders (holder, session) WHERE closed_seq = 0",
    """CREATE TABLE outputs (
        device TEXT NOT NULL, inode TEXT NOT NULL, size INTEGER NOT NULL, ctime_ns TEXT NOT NULL,
        sha256 TEXT NOT NULL, labels INTEGER NOT NULL, holder TEXT NOT NULL,
        PRIMARY KEY (device, inode, size, ctime_ns, sha256)) WITHOUT ROWID""",
    "CREATE INDEX contents ON outputs (size, sha256)",
    """CREATE TABLE approvals (
        seq INTEGER PRIMARY KEY, request_hash TEXT NOT NULL, holder TEXT NOT NULL, expires INTEGER NOT NULL,
        used INTEGER NOT NULL)""",
    "CREATE INDEX approved ON approvals (holder, request_hash)",
    f"CREATE TRIGGER entries_update BEFORE UPDATE ON entries {_GROWS}",
    # This also forbids INSERT OR REPLACE, which removes a row without calling the trigger of DELETE.
    f"""CREATE TRIGGER entries_insert BEFORE INSERT ON entries
        WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM entries) {_GROWS}""",
    f"""CREATE TRIGGER entries_delete BEFORE DELETE ON entries
        WHEN coalesce({_NEWEST}, 0) < OLD.seq {_GROWS}""",
    *(f"CREATE TRIGGER {table}_delete BEFORE DELETE ON {table} {_GROWS}" for table in SIDE_TABLES),
    f"""CREATE TRIGGER holders_update BEFORE UPDATE ON holders
        WHEN OLD.closed_seq <> 0 OR NEW.labels & OLD.labels <> OLD.labels
        OR (NEW.holder, NEW.session, NEW.opened_seq) <> (OLD.holder, OLD.session, OLD.opened_seq) {_GROWS}""",
    f"""CREATE TRIGGER outputs_update BEFORE UPDATE ON outputs
        WHEN NEW.labels & OLD.labels <> OLD.labels {_GROWS}""",
    f"CREATE TRIGGER approvals_update BEFORE UPDATE ON approvals WHEN OLD.used <> 0 {_GROWS}",
)


def create(cursor: sqlite3.Cursor) -> None:
    """Create the tables, within the transaction that has begun."""
    for statement in SCHEMA:
        cursor.execute(statement)
    cursor.execute(f"PRAGMA user_version = {FORMAT}")


def objects_of(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the statement that made each table, index and trigger, by its kind and name."""
    rows = connection.execute("SELECT type || ' ' || name, coalesce(sql, '') FROM sqlite_master")
    return {_decoded(name): _decoded(sql) for name, sql in rows}


@cache
def expected_objects() -> dict[str, str]:
    """Return the tables, indices and triggers that a ledger has."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        create(connection.cursor())
        return objects_of(connection)


def _decoded(value: str | bytes) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
