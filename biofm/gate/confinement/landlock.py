"""Landlock: the kernel refuses this process every file and TCP port that a rule does not name.

The system calls are those of https://docs.kernel.org/userspace-api/landlock.html. Their version (ABI) says
what the kernel can refuse: files since 1, moves between folders since 2, truncation since 3, TCP since 4,
commands of devices since 5, signals and abstract Unix sockets outside since 6.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from enum import IntFlag

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""The numbers of the system calls, the same on every architecture."""
ASK_VERSION = 1
BENEATH_PATH, AT_PORT = 1, 2


class Files(IntFlag):
    """Names the rights on files, with the bits of ``LANDLOCK_ACCESS_FS_*``."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READING = Files.READ_FILE | Files.READ_DIR
WRITING = (
    READING
    | Files.WRITE_FILE
    | Files.TRUNCATE
    | Files.MAKE_REG
    | Files.MAKE_DIR
    | Files.REMOVE_FILE
    | Files.REMOVE_DIR
)
USING = Files.READ_FILE | Files.WRITE_FILE | Files.IOCTL_DEV
OF_FILES = Files.EXECUTE | Files.WRITE_FILE | Files.READ_FILE | Files.TRUNCATE | Files.IOCTL_DEV
"""The rights that a rule about a single file may name."""
SINCE = {Files.REFER: 2, Files.TRUNCATE: 3, Files.IOCTL_DEV: 5}
"""The versions that brought the later rights on files."""
BIND_TCP, CONNECT_TCP = 1, 2
NET_SINCE = 4
ABSTRACT_SOCKETS, SIGNALS = 1, 2
SCOPES_SINCE = 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


class _Port(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def landlock_version() -> int:
    """Return the version of Landlock that the kernel enforces.

    Raises:
        OSError: The kernel has none, or refuses to say.
    """
    return _call(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(ASK_VERSION))


class Ruleset:
    """Collects what this process may still do, and then takes everything else from it.

    Raises:
        OSError: From every method: the kernel refuses the call.
    """

    def __init__(self) -> None:
        self.version = landlock_version()
        rights = [right for right in Files if SINCE.get(right, 1) <= self.version]
        self._handled = Files(sum(rights))
        has_net, has_scopes = self.version >= NET_SINCE, self.version >= SCOPES_SINCE
        given = _Ruleset(
            files=int(self._handled),
            net=BIND_TCP | CONNECT_TCP if has_net else 0,
            scoped=ABSTRACT_SOCKETS | SIGNALS if has_scopes else 0,
        )
        size = 8 * (1 + has_net + has_scopes)  # An older kernel knows only the first fields.
        self._ruleset = _call(CREATE_RULESET, ctypes.byref(given), ctypes.c_size_t(size), ctypes.c_uint32(0))
        self._kept: list[int] = []

    def allow(self, paths: Iterable[str], rights: Files) -> None:
        """Allow these rights on files, and below folders. A path that does not exist is left out.

        Each path stays open: a file of ``/proc`` that nobody holds may become another one to the kernel.
        """
        for path in paths:
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except (FileNotFoundError, NotADirectoryError):
                continue
            self._kept.append(descriptor)
            self.allow_descriptor(descriptor, rights)

    def allow_descriptor(self, descriptor: int, rights: Files) -> None:
        """Allow these rights on an opened file, so that it can be opened again as ``/proc/self/fd/N``."""
        mode = os.fstat(descriptor).st_mode
        allowed = rights & self._handled & (rights if stat.S_ISDIR(mode) else OF_FILES)
        rule = _Beneath(allowed=int(allowed), descriptor=descriptor)
        _call(ADD_RULE, self._ruleset, BENEATH_PATH, ctypes.byref(rule), ctypes.c_uint32(0))

    def allow_port(self, port: int) -> None:
        """Allow TCP connections to a port."""
        if self.version < NET_SINCE:
            raise OSError(errno.ENOSYS, "this version of Landlock knows no TCP ports")
        rule = _Port(allowed=CONNECT_TCP, port=port)
        _call(ADD_RULE, self._ruleset, AT_PORT, ctypes.byref(rule), ctypes.c_uint32(0))

    def enforce(self) -> None:
        """Confine this thread and all that it starts, for ever. The process must have one thread."""
        _call(RESTRICT_SELF, self._ruleset, ctypes.c_uint32(0))
        os.close(self._ruleset)


def _call(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, os.strerror(fault))
    return result
