"""Whether freed memory is used again, counted by the page faults of a process of its own."""

import platform
import subprocess
import sys

import pytest

from biofm.core import keep_freed_memory

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this switch")
def test_large_arrays_come_from_kept_memory() -> None:
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    took, fresh, kept = ran.stdout.split()
    assert took == "True"
    assert int(kept) < int(fresh) / 10


def test_another_system_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
