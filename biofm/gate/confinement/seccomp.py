"""Seccomp: the kernel refuses this process every system call that ``syscalls`` does not list.

libseccomp writes the filter. It is called by ctypes, because the confinement comes before any package.
"""

import ctypes
import errno
import os
import platform

from biofm.gate.confinement.grant import Grant
from biofm.gate.confinement.syscalls import UNKNOWN, Allowed, allowed_calls

LIBRARY = "libseccomp.so.2"
ARCHITECTURES = ("x86_64", "aarch64")
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
MASKED_EQUAL = 7
ACT_BADARCH = 2
NOT_KNOWN = -1
"""What libseccomp answers for a name that it does not know. A call that an architecture lacks is below."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def load_library() -> ctypes.CDLL:
    """Return libseccomp.

    Raises:
        OSError: It is not installed, or the filter is not written for this architecture.
    """
    if platform.machine() not in ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"the list of system calls is not made for {platform.machine()}")
    library = ctypes.CDLL(LIBRARY)
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p,
    ]  # fmt: skip
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_load.argtypes = library.seccomp_release.argtypes = [ctypes.c_void_p]
    return library


def filter_calls(grant: Grant) -> None:
    """Refuse this process, for ever, every system call that the grant does not need.

    Raises:
        OSError: libseccomp is missing, or the kernel does not take the filter.
    """
    library = load_library()
    state = library.seccomp_init(ERRNO | errno.EPERM)
    if not state:
        raise OSError(errno.ENOMEM, "libseccomp cannot start a filter")
    try:
        # Calls in the form of another architecture have other numbers.
        _check(library.seccomp_attr_set(state, ACT_BADARCH, KILL_PROCESS), "the architecture")
        for name in UNKNOWN:
            _add(library, state, ERRNO | errno.ENOSYS, (name, ()))
        for allowed in allowed_calls(grant, os.getpid()):
            _add(library, state, ALLOW, allowed)
        _check(library.seccomp_load(state), "the filter")
    finally:
        library.seccomp_release(state)


def _add(library: ctypes.CDLL, state: int, action: int, allowed: Allowed) -> None:
    """Add a rule. A name that this libseccomp does not know has none, and the call stays refused."""
    name, conditions = allowed
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == NOT_KNOWN:
        return
    comparisons = (_Comparison * len(conditions))(
        *(
            _Comparison(argument=it.argument, operator=MASKED_EQUAL, mask=it.mask, value=it.value)
            for it in conditions
        )
    )
    result = library.seccomp_rule_add_array(state, action, number, len(conditions), comparisons)
    if result != -errno.EEXIST:
        _check(result, name)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(-result, f"seccomp does not accept {what} ({os.strerror(-result)})")
