"""The database of a journal: how it is opened, locked and written, and the keys and checksums it stores."""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")  # SQLite reports a missing table by the last.
KEY_BYTES = 16
APPLICATION_ID = int.from_bytes(b"bioj", "big")

# SQLite uses a rollback journal here, not WAL: each value is written once, not twice, and mounts without
# shared memory work too. Every commit reaches the disk, so that a power failure costs no more than a kill.
SETTINGS = (
    "PRAGMA page_size = 16384",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = TRUNCATE",
    "PRAGMA synchronous = FULL",
)
# Every shard stores these statements letter by letter: to change their spelling is to change the format.
TABLES = (
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL, crc32 INTEGER NOT NULL)",
    """CREATE TABLE rows (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, crc32 INTEGER NOT NULL)""",
    """CREATE TABLE records (
        number INTEGER PRIMARY KEY, payload BLOB NOT NULL, keys BLOB NOT NULL, crc32 INTEGER NOT NULL)""",
)


def open_journal(path: Path) -> sqlite3.Connection:
    """Open the journal at ``path`` and lock it; create it if it does not exist.

    Raises:
        sqlite3.Error: Another process holds the lock, or the file is damaged or not a journal.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        for setting in SETTINGS:
            connection.execute(setting)
        with transaction(connection):  # This takes the lock, which the connection keeps until it is closed.
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in (f"PRAGMA application_id = {APPLICATION_ID}", *TABLES):
                    connection.execute(statement)
        _check_kind(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a journal for reading that no process writes any more."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        _check_kind(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def remove(path: Path) -> None:
    """Remove the journal, and the file that SQLite keeps beside it, unless another process has locked it."""
    try:
        open_journal(path).close()
    except sqlite3.Error as error:
        if not is_damaged(error):
            raise
    for file in (path, path.with_name(f"{path.name}-journal")):
        file.unlink(missing_ok=True)


def is_damaged(error: Exception) -> bool:
    """Return whether the error comes from a damaged file, not from the disk or another process."""
    return getattr(error, "sqlite_errorname", "").startswith(DAMAGED)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Write everything within the ``with`` as one transaction: all of it is committed, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_kind(connection: sqlite3.Connection) -> None:
    (kind,) = connection.execute("PRAGMA application_id").fetchone()
    if kind != APPLICATION_ID:
        raise damage("file is not a journal of biofm", "SQLITE_NOTADB")
    # Nothing else is allowed: a view in place of a table may never end, and a trigger may do anything.
    stored = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(statement for (statement,) in stored) != sorted(TABLES):
        raise damage("its tables are not those of a journal")


def key_of(*parts: str) -> bytes:
    """Return the key of what these texts determine together: a BLAKE2b digest of 16 bytes.

    Args:
        parts: The texts; their order counts.
    """
    digest = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        feed(digest, part.encode(errors="surrogatepass"))
    return digest.digest()


def feed(digest: blake2b, part: bytes) -> None:
    """Add a part to a digest after its length, so that different sequences of parts never add equal bytes."""
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)


def check_sum(found: object, *parts: object) -> None:
    """Raise ``damage`` if the stored parts do not match their checksum: SQLite does not check contents."""
    whole = [part for part in parts if isinstance(part, bytes)]
    if len(whole) < len(parts) or found != sum_of(*whole):
        raise damage("a checksum does not match")


def sum_of(*parts: bytes) -> int:
    """Return the CRC-32 of the parts, joined."""
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    return total


def damage(what: str, name: str = "SQLITE_CORRUPT") -> sqlite3.DatabaseError:
    """Return an error like those that SQLite raises for damage that it finds itself."""
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorname = name
    return error
