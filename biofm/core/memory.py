"""Memory: how much this process holds, how much more it may take, and whether it keeps what it frees."""

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import resource

MEMINFO = Path("/proc/meminfo")
STATM = Path("/proc/self/statm")
STATUS = Path("/proc/self/status")
OWN_GROUP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
CONTAINER_LIMIT = GROUPS / "memory.max"

# Options of mallopt, from malloc.h of glibc.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT_BYTES = 512 << 20
LARGEST_KEPT_BYTES = 256 << 20
LARGEST_KEPT_BYTES_BEFORE = 32 << 20  # Older versions of glibc accept no more.


def resident_bytes() -> int:
    """Return how many bytes of memory this process holds now, or its peak if the system does not say."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """Return the most bytes of memory that this process has held; 0 on Windows, which does not say."""
    try:
        # getrusage would also count what the parent process held when it started this one.
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_bytes() -> int | None:
    """Return how many more bytes of memory this process may take, or None if the system does not say.

    This is the least of three: what the machine has free, what the control groups around the process (such as
    a container's) leave, and what ``ulimit -v`` leaves.
    """
    found = [*_free_on_machine(), *_free_in_groups(), *_free_addresses()]
    return max(0, min(found)) if found else None


def allowed_bytes() -> int:
    """Return how many bytes of memory this process may hold in all; 0 if the system does not say.

    This is the memory of the machine, or the limit of the container if that is lower.
    """
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0
    try:
        allowed = CONTAINER_LIMIT.read_text().strip()
    except OSError:
        return installed
    return min(installed, int(allowed)) if allowed.isdigit() else installed


def keep_freed_memory() -> bool:
    """Let this process keep up to 512 MiB of the memory that it frees, for its next arrays.

    By default glibc returns large arrays to the system at once, so that each layer of a model on a CPU pays
    for fresh, zeroed pages: thousands of page faults per batch. Other C libraries have no such switch.

    Returns:
        Whether the C library accepted the setting.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return False
    keeps_large = any(mallopt(M_MMAP_THRESHOLD, n) for n in (LARGEST_KEPT_BYTES, LARGEST_KEPT_BYTES_BEFORE))
    return bool(keeps_large and mallopt(M_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(M_TOP_PAD, 64 << 20))


def give_back_freed_memory() -> None:
    """Give the memory that this process has freed and kept back to the system."""
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def kept_freed_bytes() -> int:
    """Return how many bytes this process has freed and kept; 0 if the C library does not say."""
    mallinfo = _of_glibc("mallinfo2")  # glibc has it since version 2.33.
    if mallinfo is None:
        return 0
    mallinfo.restype = _MallInfo
    return int(mallinfo().fordblks)


def _free_on_machine() -> Iterator[int]:
    """Yield how many bytes are free on the machine.

    On Linux this is what the kernel could free; elsewhere it is all memory except this process's.
    """
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) << 10
                return
    except OSError:
        pass
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") - resident_bytes()
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf.
        return


def _free_in_groups() -> Iterator[int]:
    """Yield how many bytes each control group around this process leaves, in both versions of cgroups."""
    try:
        lines = OWN_GROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, names = GROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):  # Within a container the path may not exist.
            yield from _free_in_group(folder, *names)
            if folder == root:
                break


def _free_in_group(folder: Path, limit: str, usage: str, inactive: str) -> Iterator[int]:
    """Yield how many bytes the limit of one group leaves. Inactive cached pages of files count as free."""
    try:
        most, taken = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        stat = (folder / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return
    if most != "max":
        yield int(most) - taken + int(dict(zip(stat[::2], stat[1::2], strict=False)).get(inactive, 0))


def _free_addresses() -> Iterator[int]:
    """Yield how many bytes ``ulimit -v`` leaves. Freed memory that the process keeps counts as free."""
    if sys.platform == "win32":
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return
    try:
        taken = int(STATM.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        taken = resident_bytes()
    yield limit - taken + kept_freed_bytes()


class _MallInfo(ctypes.Structure):
    """Describes ``struct mallinfo2`` of malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
            "keepcost",
        )
    )  # fmt: skip


def _of_glibc(name: str) -> Any:
    """Return a function of glibc, or None if the C library is another one, such as musl."""
    if sys.platform != "linux":
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
