"""How much memory this process may still take: of the machine, of its control group, of its own limit."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from biofm.core.hardware import resident_bytes
from biofm.core.memory import kept_freed_bytes

if sys.platform != "win32":
    import resource

MEMINFO = Path("/proc/meminfo")
STATM = Path("/proc/self/statm")
OWN_GROUP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def free_bytes() -> int | None:
    """The least of what the machine has, what every control group around this process (a container's too)
    leaves it, and what a limit on its addresses leaves it. None where the system says nothing.
    """
    found = [*_of_machine(), *_of_groups(), *_of_addresses()]
    return max(0, min(found)) if found else None


def _of_machine() -> Iterator[int]:
    """Linux knows what it could free; of other systems, all that there is but for this process."""
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) << 10
                return
    except OSError:
        pass
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") - resident_bytes()
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return


def _of_groups() -> Iterator[int]:
    """Of the group of this process and those around it, in both versions of cgroups."""
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
        for folder in (group, *group.parents):  # seen from within a container, the path may not be there
            yield from _of_group(folder, *names)
            if folder == root:
                break


def _of_group(folder: Path, limit: str, usage: str, inactive: str) -> Iterator[int]:
    """What the limit of one group leaves; pages of files that nobody uses can be taken."""
    try:
        most, taken = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        stat = (folder / "memory.stat").read_text().split()
    except (OSError, ValueError):
        return
    if most != "max":
        yield int(most) - taken + int(dict(zip(stat[::2], stat[1::2], strict=False)).get(inactive, 0))


def _of_addresses() -> Iterator[int]:
    """What ``ulimit -v`` leaves of the addresses, and those of freed memory that the process keeps."""
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
