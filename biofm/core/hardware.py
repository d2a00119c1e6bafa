"""The processor: its name, its cores, and whether it computes in bfloat16, as the system reports them."""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
SYSCTL = "/usr/sbin/sysctl"
X86_FLAGS = ("avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bf16Support:
    """Says whether the processor multiplies bfloat16 numbers in hardware.

    Attributes:
        in_hardware: Whether it does.
        evidence: A phrase for a report that says how that is known.
    """

    in_hardware: bool
    evidence: str


def find_bf16() -> Bf16Support:
    """Return whether the processor has the bfloat16 instructions of x86 (AVX-512, AMX) or ARM (FEAT_BF16)."""
    match platform.system():
        case "Linux":
            return _read_cpuinfo()
        case "Darwin":
            return _ask_sysctl()
    return _unknown()


def find_cpu() -> str:
    """Return the processor's name, or the architecture if the system does not report a name."""
    name = ""
    if platform.system() == "Linux":
        try:
            lines = CPUINFO.read_text(encoding="utf-8").splitlines()
        except OSError:
            lines = []
        fields = (line.partition(":") for line in lines)
        name = next((value.strip() for key, _, value in fields if key.strip() == "model name"), "")
    elif platform.system() == "Darwin":
        name = answer_of(SYSCTL, "-n", "machdep.cpu.brand_string")
    return name or platform.processor() or platform.machine()


def count_cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def answer_of(*command: str) -> str:
    """Return what a program prints, without white space at either end.

    The result is empty if the program is missing, fails, or takes longer than ten seconds.
    """
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _read_cpuinfo() -> Bf16Support:
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return _unknown()
    for line in lines:
        name, _, features = line.partition(":")
        if name.strip() == "flags":
            return _support_of(X86_FLAGS, features.split())
        if name.strip() == "Features":
            return _support_of(("bf16",), features.split())
    return _unknown()


def _ask_sysctl() -> Bf16Support:
    command = [SYSCTL, "-n", "hw.optional.arm.FEAT_BF16"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return _unknown()
    return _support_of(("FEAT_BF16",), ["FEAT_BF16"] if answer.strip() == "1" else [])


def _support_of(wanted: tuple[str, ...], features: list[str]) -> Bf16Support:
    found = [feature for feature in wanted if feature in features]
    if found:
        return Bf16Support(in_hardware=True, evidence=f"the processor has {' and '.join(found)}")
    return Bf16Support(in_hardware=False, evidence=f"the processor has no {' and no '.join(wanted)}")


def _unknown() -> Bf16Support:
    return Bf16Support(in_hardware=False, evidence="the system does not report the processor's features")
