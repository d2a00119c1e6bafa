"""How the C library hands out memory, tuned for arrays of some megabytes that come and go."""

import ctypes
import sys

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
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    keeps_large = any(mallopt(M_MMAP_THRESHOLD, n) for n in (LARGEST_KEPT_BYTES, LARGEST_KEPT_BYTES_BEFORE))
    return bool(keeps_large and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(M_TOP_PAD, 64 << 20))
