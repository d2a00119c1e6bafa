"""What the processor can do and how much memory is taken, asked of the operating system: no import of
torch.
"""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

if sys.platform != "win32":
    import resource

CPUINFO = Path("/proc/cpuinfo")
STATM = Path("/proc/self/statm")
STATUS = Path("/proc/self/status")
SYSCTL = "/usr/sbin/sysctl"
X86_FLAGS = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bf16Support:
    """Whether bfloat16 products are computed in hardware, and by what one knows: a phrase to print."""

    in_hardware: bool
    evidence: str


def find_bf16() -> Bf16Support:
    """Look for the bfloat16 instructions of x86 (AVX-512, AMX) and ARM (FEAT_BF16)."""
    match platform.system():
        case "Linux":
            return _read_cpuinfo()
        case "Darwin":
            return _ask_sysctl()
    return _unknown()


def resident_bytes() -> int:
    """What this process holds in memory now; its highest so far, where the system says no more."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_resident_bytes()


def peak_resident_bytes() -> int:
    """The most that this process has held in memory; 0 on Windows, which does not say."""
    try:
        for (
            line
        ) in STATUS.read_text().splitlines():  # getrusage counts what the parent held at the start, too
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _read_cpuinfo() -> Bf16Support:
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return _unknown()
    for line in lines:
        name, _, features = line.partition(":")
        if name.strip() == "flags":
            return _judge(X86_FLAGS, features.split())
        if name.strip() == "Features":
            return _judge(("bf16",), features.split())
    return _unknown()


def _ask_sysctl() -> Bf16Support:
    command = [SYSCTL, "-n", "hw.optional.arm.FEAT_BF16"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return _unknown()
    return _judge(("FEAT_BF16",), ["FEAT_BF16"] if answer.strip() == "1" else [])


def _judge(wanted: tuple[str, ...], features: list[str]) -> Bf16Support:
    found = [feature for feature in wanted if feature in features]
    if found:
        return Bf16Support(in_hardware=True, evidence=f"the processor has {' and '.join(found)}")
    return Bf16Support(in_hardware=False, evidence=f"the processor has no {' and no '.join(wanted)}")


def _unknown() -> Bf16Support:
    return Bf16Support(in_hardware=False, evidence="the system does not say what the processor has")
