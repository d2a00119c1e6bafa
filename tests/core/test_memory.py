"""Whether freed memory is used again, counted by the page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

from biofm.core import keep_freed_memory
from biofm.core.memory import give_back_freed_memory, kept_freed_bytes

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
from biofm.core.hardware import resident_bytes
from biofm.core.memory import give_back_freed_memory, keep_freed_memory, kept_freed_bytes

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
