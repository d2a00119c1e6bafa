"""The processor's name and its bfloat16 support are read from the operating system."""

import platform
from pathlib import Path

import pytest

from biofm.core import Bf16Support, find_bf16, hardware
from biofm.core.hardware import find_cpu

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
        ("processor\t: 0\nuarch\t: sifive\n", (False, "the system does not report the processor's features")),
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
        in_hardware=False, evidence="the system does not report the processor's features"
    )


def test_linux_names_its_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: AMD EPYC 7763: 64 cores\n")
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    assert find_cpu() == "AMD EPYC 7763: 64 cores"


@pytest.mark.parametrize("text", ["processor\t: 0\nCPU part\t: 0xd4f\n", None])
def test_a_processor_without_a_name_is_told_by_its_architecture(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert find_cpu() == "aarch64"
