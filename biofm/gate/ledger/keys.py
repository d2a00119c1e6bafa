"""Files of keys: only their owner can read them, and they lie outside the ledger's folder.

Whoever copies the ledger's folder then has no key to it.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from biofm.core.errors import LedgerError


@contextmanager
def key_file(path: Path, ledger: Path, flags: int = os.O_RDONLY, *, is_secret: bool = True) -> Iterator[int]:
    """Open a file of keys, and give its descriptor.

    Args:
        path: The file.
        ledger: The file of the ledger.
        flags: How ``os.open`` opens it. ``os.O_CREAT`` creates a missing file with the mode 0600.
        is_secret: Whether others may not read it. A public key is no secret.

    Raises:
        LedgerError: The file cannot be used: it lies in the ledger's folder, others can read it, or it cannot
            be opened.
    """
    if ledger.parent.resolve() in path.resolve().parents:
        what = "the file of the key lies in the ledger's folder, so that whoever copies one has the other"
        raise LedgerError(what, where=str(path), remedy="Name a file in another folder")
    try:
        if flags & os.O_CREAT:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        waiting = getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # for no writer of a pipe
        descriptor = os.open(path, flags | waiting, 0o600)
    except OSError as error:
        what = f"the file of the key cannot be opened ({error.strerror})"
        remedy = "Name another file, or make it one that you can read and write"
        raise LedgerError(what, where=str(path), remedy=remedy) from error
    try:
        _check(descriptor, path, is_secret)
        yield descriptor
    except OSError as error:
        what = f"the file of the key cannot be read or written ({error.strerror})"
        raise LedgerError(what, where=str(path), remedy="Check its disk and its permissions") from error
    finally:
        os.close(descriptor)


def read_all(descriptor: int) -> bytes:
    """Return the whole content of a file of keys."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    parts = []
    while part := os.read(descriptor, 1 << 20):
        parts.append(part)
    return b"".join(parts)


def write_all(descriptor: int, content: bytes) -> None:
    """Append to a file of keys, and write it to the disk; a part that does not fit is taken back."""
    n_before = os.fstat(descriptor).st_size
    try:
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, n_before)
        raise


def _check(descriptor: int, path: Path, is_secret: bool) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        what = "the file of the key is not an ordinary file"
        raise LedgerError(what, where=str(path), remedy="Name an ordinary file")
    if is_secret and sys.platform != "win32" and status.st_mode & 0o077:
        what = "others can read or write the file of the key"
        raise LedgerError(what, where=str(path), remedy=f"Take their rights away: chmod 600 {path}")
