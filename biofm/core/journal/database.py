"""The database under a journal: its settings, its lock, its transactions, and the keys and checksums of
what it stores.
"""

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR")  # the last of a table that is not there
KEY_BYTES = 16
APPLICATION_ID = int.from_bytes(b"bioj", "big")

# A rollback journal, not WAL: each value is written once, not twice, and mounts without shared memory serve
# too. Its every commit is on the disk, so that a power failure costs no more than a killed process.
SETTINGS = (
    "PRAGMA page_size = 16384",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = TRUNCATE",
    "PRAGMA synchronous = FULL",
)
# As they are stored, letter by letter, in every shard: another spelling is another format.
TABLES = (
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL, crc32 INTEGER NOT NULL)",
    """CREATE TABLE rows (
        id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, value BLOB NOT NULL, crc32 INTEGER NOT NULL)""",
    """CREATE TABLE records (
        number INTEGER PRIMARY KEY, payload BLOB NOT NULL, keys BLOB NOT NULL, crc32 INTEGER NOT NULL)""",
)


def open_journal(path: Path) -> sqlite3.Connection:
    """Open the journal at ``path`` and lock it; create it if need be. Raises sqlite3.Error if another process
    holds the lock.
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        for setting in SETTINGS:
            connection.execute(setting)
        with transaction(connection):  # which takes the lock, for good
            if not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
                for statement in (f"PRAGMA application_id = {APPLICATION_ID}", *TABLES):
                    connection.execute(statement)
        _check_kind(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a journal that nobody writes any more."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        _check_kind(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def remove(path: Path) -> None:
    """Remove the journal, and what SQLite keeps beside it, unless another process holds it."""
    try:
        open_journal(path).close()
    except sqlite3.Error as error:
        if not is_damaged(error):
            raise
    for file in (path, path.with_name(f"{path.name}-journal")):
        file.unlink(missing_ok=True)


def is_damaged(error: Exception) -> bool:
    """Return whether the error is a damaged file, and neither the disk nor another process."""
    return getattr(error, "sqlite_errorname", "").startswith(DAMAGED)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit everything that is written within the ``with``, or nothing of it."""
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
    # Nothing else: a view in the place of a table may have no end, and a trigger do what it likes.
    stored = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if sorted(statement for (statement,) in stored) != sorted(TABLES):
        raise damage("its tables are not those of a journal")


def key_of(*parts: str) -> bytes:
    """Return the key of what these texts determine in this order: a BLAKE2b digest of 16 bytes."""
    digest = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        feed(digest, part.encode(errors="surrogatepass"))
    return digest.digest()


def feed(digest: blake2b, part: bytes) -> None:
    """Add a part to a digest, its length first, so that no two sequences of parts give the same bytes."""
    digest.update(len(part).to_bytes(8, "little"))
    digest.update(part)


def check_sum(found: object, *parts: object) -> None:
    """Raise ``damage`` where the stored parts do not have the stored checksum: SQLite checks no content."""
    whole = [part for part in parts if isinstance(part, bytes)]
    if len(whole) < len(parts) or found != sum_of(*whole):
        raise damage("a checksum does not match")


def sum_of(*parts: bytes) -> int:
    """Return the CRC-32 of the parts end to end."""
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    return total


def damage(what: str, name: str = "SQLITE_CORRUPT") -> sqlite3.DatabaseError:
    """Return an error such as SQLite raises for damage that it finds itself."""
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorname = name
    return error
