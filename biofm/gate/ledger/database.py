"""The database file: it is private, transactions wait for its lock, and its faults are explained.

A process that finds the ledger locked says so after two seconds and waits for up to a minute: a thousand
shards that start together on one network mount take turns, and none of them should fail for that.

SQLite's default rollback journal is used, not WAL: home folders on clusters are network mounts, where WAL
does not work (https://sqlite.org/wal.html, section 1), and two short transactions per run need no more. With
``synchronous = EXTRA`` a transaction that has ended survives a loss of power.
"""

import errno
import logging
import os
import secrets
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from biofm.core.errors import LedgerError
from biofm.gate.ledger.place import another_place
from biofm.gate.partial import rename_to_new

LOG = logging.getLogger("biofm.gate.ledger")

BUSY_TIMEOUT_S = 60.0
NOTICE_S = 2.0
STEP_S = 1.0  # It waits in steps, between which signals are handled.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_PERMITTED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of files within the ``with`` into LedgerError.

    Python cannot decode a message of SQLite that quotes damaged names.
    """
    try:
        yield
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        what, remedy = explained(error, path)
        raise LedgerError(what, where=str(path), remedy=remedy) from error


def begin(path: Path) -> sqlite3.Connection:
    """Open the ledger, create it if it is not there, and begin a transaction that may write.

    Everything until the commit is decided on one state, because no other process can write meanwhile.

    Raises:
        OSError, sqlite3.Error: The ledger cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _create_private(path)
    connection = sqlite3.connect(path, timeout=STEP_S, isolation_level=None)
    try:
        # IMMEDIATE waits for the lock here, where waiting is possible, not in the middle. The setting before
        # it reads the tables, and so waits too.
        wait_for(connection, path, "PRAGMA synchronous = EXTRA", "BEGIN IMMEDIATE")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def ending(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Take back what is not committed, and close the connection, when the ``with`` ends.

    To close it would not be enough: an error's traceback may hold a cursor, and with it the lock.
    """
    try:
        yield connection
    finally:
        with suppress(sqlite3.Error):
            connection.rollback()
        connection.close()


def wait_for(connection: sqlite3.Connection, path: Path, *statements: str) -> None:
    """Execute statements, and repeat each while the ledger is locked, for up to ``BUSY_TIMEOUT_S`` in all."""
    start, is_told, left = time.monotonic(), False, list(statements)
    while left:
        try:
            connection.execute(left[0])
            del left[0]
            continue
        except sqlite3.OperationalError as error:
            waited_s = time.monotonic() - start
            if not is_locked(error) or waited_s >= BUSY_TIMEOUT_S:
                raise
        if waited_s >= NOTICE_S and not is_told:
            is_told = True
            LOG.warning(
                "biofm: another process has locked the ledger %s; waiting for up to %.0f s",
                path,
                BUSY_TIMEOUT_S,
            )


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can do that."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def explained(error: Exception, path: Path) -> tuple[str, str]:
    """Return what is wrong with the ledger, and what to do."""
    name = getattr(error, "sqlite_errorname", "")
    number = error.errno if isinstance(error, OSError) else 0
    away = move_away(path)
    what, remedy = f"the ledger cannot be written ({error})", f"Give it another place: {another_place()}"
    if path.is_dir():
        what, remedy = "this is a folder, but the ledger must be a file", away
    elif is_locked(error):
        what = f"another process has locked the ledger for {BUSY_TIMEOUT_S:.0f} s"
        remedy = f"Wait until it ends, or end it (`fuser {path}` shows its number)"
    elif name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")) or isinstance(error, UnicodeDecodeError):
        what, remedy = f"the ledger is damaged ({error})", away
    elif name == "SQLITE_ERROR":
        what, remedy = f"another version of biofm has written the ledger ({error})", away
    elif name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR") or number in FULL:
        what = f"the disk of the ledger is full or faulty ({error})"
        remedy = f"Free some space there. Or {another_place()}"
    elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")) or number in NOT_PERMITTED:
        what = f"biofm has no permission to write the ledger ({error})"
        remedy = f"Make it and its folder writable: ls -ld {path.parent} {path}. Or {another_place()}"
    return what, remedy


def move_away(path: Path) -> str:
    """Return the remedy for a ledger that cannot be used."""
    moved = f"Move it away (mv {path} {path}.old)"
    return f"{moved}: the next command starts a new one, which knows none of the account's labels"


def is_locked(error: Exception) -> bool:
    """Return whether SQLite says that another process has locked a database.

    Args:
        error: What was raised.
    """
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
