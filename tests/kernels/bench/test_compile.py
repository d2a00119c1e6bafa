"""Every kernel compiles for GPUs that are not here, within what they have."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

BENCH = Path(__file__).resolve().parents[3] / "kernels" / "bench" / "compilation"

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed: Linux has it")


def compile_kernels(*arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, because it tells Triton of a GPU that is not here."""
    command = [sys.executable, str(BENCH / "compile.py"), *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    path = os.pathsep.join([str(BENCH.parents[1]), *filter(None, [environment.get("PYTHONPATH")])])
    environment |= {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_attention_of_one_kind_compiles_as_recorded() -> None:
    result = compile_kernels("--architecture", "90", "--only", "attention bfloat16 64 plain")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 4  # forward, delta, keys, queries


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["80", "90", "100", "120"])
def test_every_kernel_compiles_as_recorded(architecture: str) -> None:
    result = compile_kernels("--architecture", architecture)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The script as a module; its own imports stand beside it."""
    monkeypatch.syspath_prepend(BENCH)
    yield import_module("compile")
    for name in ("compile", "specimens"):
        sys.modules.pop(name)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_gradients_of_logits_are_stored_16_bytes_at_a_time_whatever_the_vocabulary(
    bench: Any, dtype: str
) -> None:
    with bench.compiling_for(90) as compiled:
        bench.SPECIMENS[f"linear_cross_entropy 768 25426 {dtype}"]()
    (code,) = (each.kernel.asm["ptx"] for each in compiled if each.name == "linear_cross_entropy_backward")
    assert set(re.findall(r"st\.global[.\w]*", code)) == {"st.global.v4.b32"}


BATCHES = [1, 2, 15, 16, 48]


@pytest.fixture
def keys_of_launches(bench: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """For each kernel that is launched, what it would be compiled for; nothing is compiled."""
    keys: dict[str, set[str]] = {}

    def note(self: Any, key: str, *arguments: Any, **options: Any) -> None:
        keys.setdefault(self.fn.__name__, set()).add(key)

    monkeypatch.setattr(bench.JITFunction, "_do_compile", note)
    monkeypatch.setattr(bench._Device, "get_current_device", lambda self: -1)  # which nothing is kept for
    return keys


@pytest.mark.parametrize(
    "specimen",
    [
        "attention bfloat16 64 window",
        "attention bfloat16 64 rotary",
        "qk_norm_rope 20x64 rms bfloat16",
        "qk_norm_rope 15x64 layer float32",
        "segment_mean 1280 bfloat16",
        "linear_cross_entropy 768 25426 bfloat16",
    ],
)
def test_a_kernel_is_compiled_once_for_batches_of_every_size(
    bench: Any, specimen: str, keys_of_launches: dict[str, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    specimens = import_module("specimens")
    monkeypatch.setattr(specimens.linear_cross_entropy, "D_LOGITS_AT_ONCE", 2**14)  # several launches
    monkeypatch.setattr(specimens.qk_norm_rope, "BACKWARD_PROGRAMS", 2)  # of one row each or of many
    for n_tokens in BATCHES:
        monkeypatch.setattr(specimens, "N_TOKENS", n_tokens)
        monkeypatch.setattr(specimens, "ONE_SEQUENCE", torch.tensor([0, n_tokens], dtype=torch.int32))
        with bench.compiling_for(90):
            specimens.SPECIMENS[specimen]()
    assert keys_of_launches
    assert {name: len(keys) for name, keys in keys_of_launches.items()} == dict.fromkeys(keys_of_launches, 1)


def test_a_kernel_that_fits_has_no_fault(bench: Any) -> None:
    assert bench.faults(bench.read_table(), bench.read_table()) == []


def test_another_compiler_than_the_recorded_one_may_spill_a_few_registers(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = bench.read_table()[0]
    monkeypatch.setattr(bench, "WRITTEN_WITH", bench.triton.__version__)
    (fault,) = bench.faults([replace(recorded, spills=1)], [recorded])
    assert "spills registers (loads and stores: 1)" in fault
    monkeypatch.setattr(bench, "WRITTEN_WITH", "another")
    assert bench.faults([replace(recorded, spills=8)], [recorded]) == []
    assert bench.faults([replace(recorded, spills=9)], [recorded])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"spills": 9}, "spills registers (loads and stores: 9)"),
        ({"shared_bytes": 300_000}, "takes 300000 bytes of shared memory; there are 232448"),
        ({"matrix_instructions": 0}, "multiplies matrices without HGMMA"),
        ({"specimen": "a new one"}, "is not in resources.csv"),
        ({"registers": 109}, "takes 109 registers; when the table was written it took 100"),
    ],
    ids=str,
)
def test_each_fault_of_a_kernel_is_named(bench: Any, change: dict[str, Any], fault: str) -> None:
    recorded = bench.Resources(
        architecture=90, specimen="attention", kernel="forward", sizes="BLOCK_Q=64", registers=100, spills=0,
        shared_bytes=1000, matrix_products=2, matrix_instructions=8,
    )  # fmt: skip
    assert bench.faults([replace(recorded, registers=108)], [recorded]) == []
    (found,) = bench.faults([replace(recorded, **change)], [recorded])
    assert fault in found
    assert "sm_90" in found
