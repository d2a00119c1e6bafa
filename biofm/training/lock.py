"""The lock of a run's folder: one process at a time works in it, the first one of those that train together.

It is a lock of the process (``fcntl.lockf``), which its loaders do not inherit and which ends with it however
it ends. Where locks are not to be had (Windows, some network mounts), nobody is told.
"""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from biofm.core.errors import OutputError

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Hold the run in ``folder``. Raises OutputError: another process does."""
    if sys.platform == "win32":
        yield
        return
    path = folder / LOCK
    descriptor = _lock(path)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink()  # while it is held, so that it is nobody else's
        os.close(descriptor)


def _lock(path: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            what = f"the run's lock cannot be written ({error.strerror})"
            raise OutputError(what, where=str(path), remedy="Check the folder's permissions") from error
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise _held(path, descriptor) from error
            return descriptor  # a mount without locks
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # its holder removed it just now


def _held(path: Path, descriptor: int) -> OutputError:
    holder = os.read(descriptor, 1000).decode(errors="replace")
    os.close(descriptor)
    what = f"another process is at work in this run ({holder or 'it has just begun'})"
    return OutputError(what, where=str(path.parent), remedy="Wait until it ends, or choose another folder")
