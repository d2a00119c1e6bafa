"""How much memory a process may still take, as the system and its control groups tell it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from biofm.core import free_memory
from biofm.core.free_memory import free_bytes

MIB = 1 << 20
UNLIMITED_V1 = 9223372036854771712  # what version 1 says where there is no limit


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system of files in which the machine has 1,000 MiB and no group a limit."""
    for name, place in (("MEMINFO", "meminfo"), ("OWN_GROUP", "cgroup"), ("GROUPS", "groups")):
        monkeypatch.setattr(free_memory, name, tmp_path / place)
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
        "import resource; from biofm.core.free_memory import free_bytes; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({2000 * MIB}, {2000 * MIB})); "
        f"before = free_bytes(); taken = bytearray({300 * MIB}); print(before, before - free_bytes())"
    )
    result = python_run("-c", program)
    assert result.returncode == 0, result.stderr
    before, taken = map(int, result.stdout.split())
    assert 1000 * MIB < before < 2000 * MIB
    assert abs(taken - 300 * MIB) < 2 * MIB
