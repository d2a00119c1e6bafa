"""What a machine can do at best."""

import time

import pytest
import torch

from biofm.training import peak
from biofm.training.peak import GPU_TFLOPS, peak_flops

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_a_cpu_is_measured_once_and_in_under_a_second() -> None:
    peak._measure_cpu.cache_clear()
    first = peak_flops(CPU, torch.float32)
    assert first is not None
    assert 1e8 < first < 1e15  # from a slow, busy core to more than any CPU has
    assert peak_flops(CPU, torch.float32) == first
    assert peak._measure_cpu.cache_info().misses == 1


def test_the_best_of_the_products_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that something else held up is no measure of the machine."""
    peak._measure_cpu.cache_clear()
    ticks = iter([0.0, 0.0, 0.0, 0.1, 0.1, 0.1, 0.14, 0.14, 0.14, 0.5, 0.5])
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(peak, "SIZE", 10)
    assert peak_flops(CPU, torch.float32) == pytest.approx(2 * 10**3 / 0.04)
    peak._measure_cpu.cache_clear()


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA A100-SXM4-80GB MIG 1g.10gb", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("Some GPU of tomorrow", None),
    ],
)
def test_a_gpu_is_looked_up_by_its_name(
    name: str, tflops: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    expected = None if tflops is None else 1e12 * tflops
    assert peak_flops(CUDA, torch.bfloat16) == peak_flops(CUDA, torch.float16) == expected
    assert peak_flops(CUDA, torch.float32) is None


def test_figures_with_sparsity_are_not_taken_for_dense_ones() -> None:
    """Of every GPU in the table, the maker's figure for dense products is below that of HGX B200."""
    assert max(GPU_TFLOPS, key=GPU_TFLOPS.__getitem__) == "NVIDIA B200"
    assert GPU_TFLOPS["NVIDIA H200"] == GPU_TFLOPS["NVIDIA H100 80GB HBM3"]  # one chip, other memory


def test_another_device_is_not_known() -> None:
    assert peak_flops(torch.device("mps"), torch.float16) is None
