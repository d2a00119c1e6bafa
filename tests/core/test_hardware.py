"""Whether the processor has bfloat16, and how much memory is taken, as the operating system tells it."""

import mmap
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biofm.core import hardware
from biofm.core.hardware import Bf16Support, find_bf16, peak_resident_bytes, resident_bytes

X86 = "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu sse2 avx512f {}\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 2000.00\nFeatures\t: fp asimd {}\nCPU part\t: 0xd4f\n"


@pytest.mark.parametrize(
    ("cpuinfo", "support"),
    [
        (X86.format("avx512_bf16 amx_bf16 amx_tile"), (True, "the processor has avx512_bf16 and amx_bf16")),
        (X86.format("avx512_bf16"), (True, "the processor has avx512_bf16")),
        (X86.format("amx_bf16"), (True, "the processor has amx_bf16")),
        (X86.format("avx512_vnni"), (False, "the processor has no avx512_bf16 and no amx_bf16")),
        (X86.format("not_avx512_bf16"), (False, "the processor has no avx512_bf16 and no amx_bf16")),
        (ARM.format("i8mm bf16"), (True, "the processor has bf16")),
        (ARM.format("svebf16"), (False, "the processor has no bf16")),
        ("processor\t: 0\nuarch\t: sifive\n", (False, "the system does not say what the processor has")),
    ],
)
def test_linux_lists_what_the_processor_has(
    cpuinfo: str, support: tuple[bool, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")

    assert find_bf16() == Bf16Support(in_hardware=support[0], evidence=support[1])


@pytest.mark.parametrize(
    ("answer", "support"),
    [
        ("echo 1", (True, "the processor has FEAT_BF16")),
        ("echo 0", (False, "the processor has no FEAT_BF16")),
        ("echo unknown oid >&2; exit 1", (False, "the processor has no FEAT_BF16")),
    ],
)
def test_macos_answers_one_question(
    answer: str, support: tuple[bool, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sysctl = tmp_path / "sysctl"
    sysctl.write_text(f'#!/bin/sh\n[ "$*" = "-n hw.optional.arm.FEAT_BF16" ] || exit 9\n{answer}\n')
    sysctl.chmod(0o700)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(hardware, "SYSCTL", str(sysctl))

    assert find_bf16() == Bf16Support(in_hardware=support[0], evidence=support[1])


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows"])
def test_a_system_that_says_nothing_counts_as_without(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "missing")
    monkeypatch.setattr(hardware, "SYSCTL", str(tmp_path / "missing"))

    assert find_bf16() == Bf16Support(
        in_hardware=False, evidence="the system does not say what the processor has"
    )


def test_memory_that_is_taken_shows_and_stays_in_the_peak() -> None:
    before = resident_bytes()
    # Fresh pages: the allocator may still hold what others gave back.
    with mmap.mmap(-1, 50_000_000) as taken:
        taken.write(b"#" * len(taken))

        assert 40_000_000 < resident_bytes() - before < 100_000_000
    assert peak_resident_bytes() > before + 40_000_000


@pytest.mark.skipif(
    platform.system() != "Linux", reason="other systems do not tell a program from its parent"
)
def test_what_the_parent_holds_is_no_peak_of_its_child(python_run: Callable[..., Any]) -> None:
    """The kernel's ``ru_maxrss`` is kept when a process becomes another program."""
    with mmap.mmap(-1, 400_000_000) as held:
        for place in range(0, len(held), mmap.PAGESIZE):
            held[place] = 1
        program = "from biofm.core.hardware import peak_resident_bytes; print(peak_resident_bytes())"
        assert int(python_run("-c", program).stdout) < 200_000_000


def test_where_the_system_does_not_say_what_is_taken_now_the_peak_stands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware, "STATM", tmp_path / "nowhere")

    assert resident_bytes() == peak_resident_bytes() > 10_000_000
