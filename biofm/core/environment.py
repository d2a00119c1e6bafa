"""What a run ran in, to be written beside its results: versions and hardware. Nothing that names a person or
a machine: no user, no host, no path, no environment variable.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biofm.core.hardware import CPUINFO, SYSCTL
from biofm.core.provenance import torch_version
from biofm.core.units import format_bytes
from biofm.core.version import __version__

CHECKOUT = Path(__file__).resolve().parents[2]
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Versions, hardware, and how the hardware was used.

    commit: of the checkout that biofm ran from, with ``-dirty`` where files differed from it; empty outside
    one. cores: that the process may use. memory_bytes: that it may take, 0 where the system does not say.
    """

    biofm: str
    commit: str
    python: str
    torch: str
    system: str
    cpu: str
    cores: int
    threads: int
    memory_bytes: int
    gpus: tuple[str, ...]
    device: str
    dtype: str

    def rows(self) -> dict[str, str]:
        """For people: what is empty is left out."""
        rows = {
            "biofm": f"{self.biofm}, commit {self.commit}" if self.commit else self.biofm,
            "Python": self.python,
            "torch": self.torch,
            "system": self.system,
            "processor": self.cpu,
            "cores": f"{self.cores}, of which torch uses {self.threads}",
            "memory": format_bytes(self.memory_bytes) if self.memory_bytes else "",
            "GPUs": ", ".join(self.gpus),
            "computed on": self.device,
            "computed in": self.dtype,
        }
        return {name: value for name, value in rows.items() if value}


def find_environment(*, threads: int, gpus: Sequence[str], device: str, dtype: str) -> Environment:
    """This process's. What torch alone knows is given, because this room does without it."""
    return Environment(
        biofm=__version__,
        commit=find_commit(CHECKOUT),
        python=platform.python_version(),
        torch=torch_version(),
        system=f"{platform.system()} {platform.machine()}",
        cpu=find_cpu(),
        cores=_count_cores(),
        threads=threads,
        memory_bytes=find_memory(),
        gpus=tuple(gpus),
        device=device,
        dtype=dtype,
    )


def find_commit(checkout: Path) -> str:
    """The commit of ``checkout``, ``-dirty`` where files differ from it; empty where there is no checkout
    there, or no git to ask.
    """
    if not (checkout / ".git").exists():
        return ""
    return _ask(
        "git", "--no-optional-locks", "-C", str(checkout),
        "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*",
    )  # fmt: skip


def find_cpu() -> str:
    """The processor's name; failing that, its architecture."""
    name = ""
    if platform.system() == "Linux":
        try:
            lines = CPUINFO.read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        fields = (line.partition(":") for line in lines)
        name = next((value.strip() for key, _, value in fields if key.strip() == "model name"), "")
    elif platform.system() == "Darwin":
        name = _ask(SYSCTL, "-n", "machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine()


def find_memory() -> int:
    """Bytes that this process may take: the machine's, or what its container allows; 0 if it is not said."""
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0
    try:
        allowed = CGROUP_LIMIT.read_text().strip()
    except OSError:
        return installed
    return min(installed, int(allowed)) if allowed.isdigit() else installed


def _count_cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ask(*command: str) -> str:
    """What a program answers; empty where it is missing or fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
