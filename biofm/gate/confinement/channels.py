"""Channels join a parent and its worker: the pipe of the job, and the memory of the resulting array."""

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import BinaryIO

from biofm.core.temporary import temporary_folder

MOST_SENT_BYTES = 1 << 20
"""A pipe takes this much at once, so that a worker that never reads does not hold its parent up."""
LEAST_PIPE_BYTES = 1 << 12


def widen(pipe: int) -> int:
    """Have a pipe take as much at once as it may, and return how many bytes that is.

    Args:
        pipe: Its descriptor.
    """
    if sys.platform != "linux":
        return LEAST_PIPE_BYTES
    with suppress(OSError):  # The account's pipes may have used up what it is allowed.
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, MOST_SENT_BYTES)
    return fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ)


@contextmanager
def new_memory(n_bytes: int) -> Iterator[BinaryIO]:
    """Give a file in memory of this size, which takes memory only where it is written.

    Args:
        n_bytes: The size in bytes.
    """
    if sys.platform == "linux":
        descriptor = os.memfd_create("biofm", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with open(descriptor, "r+b", buffering=0) as file:
            os.ftruncate(descriptor, n_bytes)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
            yield file
    else:
        with TemporaryFile(dir=temporary_folder(), buffering=0) as file:
            yield file


def seal(memory: BinaryIO) -> None:
    """Let nobody write into a worker's memory any more.

    Args:
        memory: The file in memory.
    """
    if sys.platform == "linux":
        fcntl.fcntl(memory.fileno(), fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL)
    memory.seek(0)
