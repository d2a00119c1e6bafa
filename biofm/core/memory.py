"""How the C library hands out memory, tuned for arrays of some megabytes that come and go."""

import ctypes
import sys
from typing import Any

# malloc.h of glibc.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3

KEPT_BYTES = 512 << 20
LARGEST_KEPT_BYTES = 256 << 20
# What older versions of the library take at most.
LARGEST_KEPT_BYTES_BEFORE = 32 << 20


def keep_freed_memory() -> bool:
    """Let this process keep up to half a gibibyte of the memory that it frees, for its next arrays.

    By default glibc gives large arrays back to the system at once, and every layer of a model on a CPU pays
    for fresh, zeroed pages: thousands of page faults for a batch. Returns whether the C library took it;
    others than glibc have no such switch and stay as they are.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    keeps_large = any(mallopt(M_MMAP_THRESHOLD, n) for n in (LARGEST_KEPT_BYTES, LARGEST_KEPT_BYTES_BEFORE))
    return bool(keeps_large and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(M_TOP_PAD, 64 << 20))


def give_back_freed_memory() -> None:
    """Let the system have at once what this process keeps of the memory that it has freed."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def kept_freed_bytes() -> int:
    """What this process has freed and keeps; 0 where the C library does not say."""
    mallinfo = _of_glibc("mallinfo2")  # since glibc 2.33
    if mallinfo is None:
        return 0
    mallinfo.restype = _MallInfo
    return int(mallinfo().fordblks)


class _MallInfo(ctypes.Structure):
    """``struct mallinfo2`` of malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
            "keepcost",
        )
    )  # fmt: skip


def _of_glibc(name: str) -> Any:
    """A function of the C library; None where it is another one, such as musl."""
    if sys.platform != "linux":
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
