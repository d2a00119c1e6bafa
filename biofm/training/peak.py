"""How many operations a second the machine can do at best: the whole of which MFU is a share."""

import time
from functools import cache

import torch

# Dense products in bfloat16 or float16 with sums in float32, in TFLOP/s, by the name that the driver gives.
# Data sheets of NVIDIA: A100 (2022), A30 (2021), A10 (2021), A40 (2022), L4, L40 and L40S (2023), H100 (2024:
# SXM, PCIe and NVL), H200 (2024: SXM and NVL), GH200 (2024), HGX B200 (2025); where they give the figure with
# sparsity, half of it. GeForce: white papers Ampere GA102 2.1, Ada 2.1 and RTX Blackwell 1.1, appendix A.
GPU_TFLOPS = {
    "NVIDIA A10": 125.0,
    "NVIDIA A100 80GB PCIe": 312.0,
    "NVIDIA A100-PCIE-40GB": 312.0,
    "NVIDIA A100-SXM4-40GB": 312.0,
    "NVIDIA A100-SXM4-80GB": 312.0,
    "NVIDIA A30": 165.0,
    "NVIDIA A40": 149.7,
    "NVIDIA B200": 2250.0,
    "NVIDIA GH200 480GB": 989.4,
    "NVIDIA GeForce RTX 3090": 71.0,
    "NVIDIA GeForce RTX 4090": 165.2,
    "NVIDIA GeForce RTX 5090": 209.5,
    "NVIDIA H100 80GB HBM3": 989.4,
    "NVIDIA H100 NVL": 835.5,
    "NVIDIA H100 PCIe": 756.5,
    "NVIDIA H200": 989.4,
    "NVIDIA H200 NVL": 835.5,
    "NVIDIA L4": 121.0,
    "NVIDIA L40": 181.1,
    "NVIDIA L40S": 362.1,
}

# Large enough for a CPU to reach its best, small enough for a quarter of a second to see it.
SIZE = 1024
SECONDS = 0.25


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Operations a second in products of ``dtype``; None where it is not known.

    Of a GPU its maker's figure, by name, for the two 16-bit types; a part of one (MIG) has a name of its own
    and is not known. Of a CPU the best of some products with the threads that torch has now, measured once.
    """
    if device.type == "cpu":
        return _measure_cpu(dtype, torch.get_num_threads())
    if device.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        tflops = GPU_TFLOPS.get(torch.cuda.get_device_name(device))
        return None if tflops is None else 1e12 * tflops
    return None


@cache
def _measure_cpu(dtype: torch.dtype, n_threads: int) -> float:
    """``n_threads`` only tells measurements apart."""
    a, b = torch.ones(2, SIZE, SIZE, dtype=dtype)
    out = torch.mm(a, b)  # the first product of a process is slow
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < SECONDS or best == float("inf"):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * SIZE**3 / best
