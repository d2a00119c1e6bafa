"""A process knows how much memory it holds and may still take, and uses again the memory that it freed."""

import mmap
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from biofm.core import keep_freed_memory, memory
from biofm.core.memory import (
    allowed_bytes,
    free_bytes,
    give_back_freed_memory,
    kept_freed_bytes,
    peak_resident_bytes,
    resident_bytes,
)

MIB = 1 << 20
UNLIMITED_V1 = 9223372036854771712  # Version 1 of cgroups reports this number if there is no limit.

SCRIPT = """
import resource
import numpy as np
from biofm.core import keep_freed_memory

def faults() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        arrays = [np.ones(n << 18) for n in (20, 4, 8)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fresh = faults()
took = keep_freed_memory()
faults()
print(took, fresh, faults())
"""


GIVEN_BACK = """
import numpy as np
from biofm.core.memory import (
    give_back_freed_memory, keep_freed_memory, kept_freed_bytes, resident_bytes
)

keep_freed_memory()
arrays = [np.ones(1 << 20) for _ in range(20)]
top = np.ones(1 << 10)
before, kept_before = resident_bytes(), kept_freed_bytes()
del arrays
kept = kept_freed_bytes() - kept_before
give_back_freed_memory()
print(kept, before - resident_bytes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this switch")
def test_freed_memory_that_is_kept_is_counted_and_can_be_given_back() -> None:
    ran = subprocess.run([sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, check=True)
    for n_bytes in map(int, ran.stdout.split()):
        assert n_bytes == pytest.approx(20 * (8 << 20), rel=0.05)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this switch")
def test_large_arrays_come_from_kept_memory() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    took, fresh, kept = ran.stdout.split()
    assert took == "True"
    assert int(kept) < int(fresh) / 10


def test_another_system_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    assert kept_freed_bytes() == 0
    give_back_freed_memory()


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the files of a system whose machine has 1,000 MiB and whose groups have no limit."""
    for name, place in (("MEMINFO", "meminfo"), ("OWN_GROUP", "cgroup"), ("GROUPS", "groups")):
        monkeypatch.setattr(memory, name, tmp_path / place)
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {1000 << 10} kB\n")
    (tmp_path / "cgroup").write_text("0::/\n")
    return tmp_path


def write_group(folder: Path, limit: str, used: int, inactive: int, *, version: int = 2) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {inactive}\n")


def test_without_limits_it_is_what_the_machine_has(system: Path) -> None:
    write_group(system / "groups", "max", 50 * MIB, 0)
    assert free_bytes() == 1000 * MIB


def test_a_limit_on_the_group_counts_without_pages_of_files_that_nobody_uses(system: Path) -> None:
    write_group(system / "groups", str(600 * MIB), 250 * MIB, 50 * MIB)
    assert free_bytes() == 400 * MIB


def test_the_tightest_of_the_groups_around_a_process_counts(system: Path) -> None:
    (system / "cgroup").write_text("0::/slice/job/step\n")
    write_group(system / "groups" / "slice", str(300 * MIB), 100 * MIB, 0)
    write_group(system / "groups" / "slice" / "job", str(900 * MIB), 100 * MIB, 0)
    write_group(system / "groups" / "slice" / "job" / "step", "max", 100 * MIB, 0)
    assert free_bytes() == 200 * MIB


def test_cgroups_of_the_first_version_are_read_too(system: Path) -> None:
    (system / "cgroup").write_text("5:devices:/\n4:cpu,memory:/box\n0::/\n")
    root = system / "groups" / "memory"
    write_group(root, str(UNLIMITED_V1), 100 * MIB, 0, version=1)
    write_group(root / "box", str(500 * MIB), 100 * MIB, 20 * MIB, version=1)
    assert free_bytes() == 420 * MIB


def test_a_group_that_has_more_than_its_limit_leaves_nothing(system: Path) -> None:
    write_group(system / "groups", str(100 * MIB), 150 * MIB, 0)
    assert free_bytes() == 0


def test_a_system_without_such_files_says_how_much_there_is_in_all(system: Path) -> None:
    (system / "meminfo").unlink()
    (system / "cgroup").unlink()
    found = free_bytes()
    assert found is None or 0 < found <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its addresses")
def test_a_limit_on_the_addresses_counts(python_run: Callable[..., CompletedProcess[str]]) -> None:
    program = (
        "import resource; from biofm.core.memory import free_bytes; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({2000 * MIB}, {2000 * MIB})); "
        f"before = free_bytes(); taken = bytearray({300 * MIB}); print(before, before - free_bytes())"
    )
    result = python_run("-c", program)
    assert result.returncode == 0, result.stderr
    before, taken = map(int, result.stdout.split())
    assert 1000 * MIB < before < 2000 * MIB
    assert abs(taken - 300 * MIB) < 2 * MIB


@pytest.mark.parametrize(("limit", "expected"), [("1000000\n", 1_000_000), ("max\n", None), (None, None)])
def test_a_containers_limit_is_the_memory(
    limit: str | None, expected: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "CONTAINER_LIMIT", tmp_path / "memory.max")
    installed = allowed_bytes()
    if limit is not None:
        (tmp_path / "memory.max").write_text(limit)
    assert allowed_bytes() == (expected or installed)


def test_memory_that_is_taken_shows_and_stays_in_the_peak() -> None:
    before = resident_bytes()
    # The pages are fresh: the allocator may still hold memory that other tests gave back.
    with mmap.mmap(-1, 50_000_000) as taken:
        taken.write(b"#" * len(taken))

        assert 40_000_000 < resident_bytes() - before < 100_000_000
    assert peak_resident_bytes() > before + 40_000_000


@pytest.mark.skipif(
    platform.system() != "Linux", reason="other systems do not tell a program from its parent"
)
def test_what_the_parent_holds_is_no_peak_of_its_child(python_run: Callable[..., Any]) -> None:
    """Check this because the kernel keeps ``ru_maxrss`` when a process becomes another program."""
    with mmap.mmap(-1, 400_000_000) as held:
        for place in range(0, len(held), mmap.PAGESIZE):
            held[place] = 1
        program = "from biofm.core.memory import peak_resident_bytes; print(peak_resident_bytes())"
        assert int(python_run("-c", program).stdout) < 200_000_000


def test_where_the_system_does_not_say_what_is_taken_now_the_peak_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "STATM", tmp_path / "nowhere")

    assert resident_bytes() == peak_resident_bytes() > 10_000_000
