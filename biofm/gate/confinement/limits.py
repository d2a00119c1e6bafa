"""Limits: what a worker gives up for ever before it is confined, and how much it may use of the machine."""

import ctypes
import os
import sys

from biofm.gate.confinement.grant import Grant

if sys.platform != "win32":
    import resource

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
SIGKILL = 9
MOST_OPEN_FILES = 1024
GRACE_S = 5
"""After its processor time a worker gets SIGXCPU, and this much later SIGKILL."""
CAPABILITY_VERSION = 0x20080522
CAP_DAC_READ_SEARCH = 2
"""The one capability that root keeps: it reads packages that belong to another account."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def give_up_privileges() -> None:
    """Take every privilege of root from this process, and end it when its parent ends.

    No program that it starts can gain a privilege, and its memory is never written into a core file, not even
    by a service that the system sends it to.

    Raises:
        OSError: The kernel refuses it.
    """
    if sys.platform != "linux":
        return
    _prctl(PR_SET_PDEATHSIG, SIGKILL)
    _prctl(PR_SET_NO_NEW_PRIVS, 1)
    _prctl(PR_SET_DUMPABLE, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(version=CAPABILITY_VERSION, pid=0)
    held = (_Capabilities * 2)()
    _check(libc.capget(ctypes.byref(header), held))
    kept = held[0].permitted & 1 << CAP_DAC_READ_SEARCH
    left = (_Capabilities * 2)(_Capabilities(effective=kept, permitted=kept))
    _check(libc.capset(ctypes.byref(header), left))


def set_limits(grant: Grant) -> None:
    """Set the limits of a grant. They cannot be raised again.

    Args:
        grant: What the worker may use.
    """
    if sys.platform == "win32":
        return
    _limit(resource.RLIMIT_CPU, grant.cpu_s, grant.cpu_s + GRACE_S)
    _limit(resource.RLIMIT_FSIZE, grant.file_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, MOST_OPEN_FILES)
    if not grant.devices:
        _limit(resource.RLIMIT_AS, grant.memory_bytes)


def _limit(which: int, soft: int, hard: int | None = None) -> None:
    """Set a limit, and no higher than it may be."""
    highest = resource.getrlimit(which)[1]
    wanted = soft if hard is None else hard
    allowed = wanted if highest == resource.RLIM_INFINITY else min(wanted, highest)
    resource.setrlimit(which, (min(soft, allowed), allowed))


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    _check(libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero))


def _check(result: int) -> None:
    if result < 0:
        fault = ctypes.get_errno()
        raise OSError(fault, os.strerror(fault))
