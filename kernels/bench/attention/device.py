"""The device: how long work takes on it, how fast it could be at best, and what it is. On a CPU it
rehearses.
"""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
import triton

N_WARM_UPS = 3
FEWEST, MOST = 5, 50  # Runs whose median counts.
SECONDS_A_ROW = 0.1
SLEEP_CYCLES = 2_000_000  # About a millisecond, so that the CPU gets ahead and only the GPU is timed.
FLUSHED_BYTES = 256 * 2**20  # Several times any GPU's L2 cache, so that inputs come from memory.


class Ceilings(NamedTuple):
    """Holds the speeds of a large matrix product and of a large copy, which no attention should exceed.

    ``flops``: operations a second, in bfloat16. ``bytes``: bytes a second, read and written ones added.
    """

    flops: float
    bytes: float


def median_ms(work: Callable[[], object], device: torch.device) -> float:
    """Measure the median time that the device needs, with a cold cache and without the CPU's cost of
    launching.
    """
    if device.type != "cuda":
        began = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - began)
    for _ in range(N_WARM_UPS):
        work()
    times = _events(work, FEWEST)
    n_runs = int(SECONDS_A_ROW / (1e-3 * median(times)))
    return median(times + _events(work, min(n_runs, MOST) - FEWEST))


def _events(work: Callable[[], object], n_runs: int) -> list[float]:
    """Measure some runs by events on the GPU, each with a cold cache."""
    flushed = torch.empty(FLUSHED_BYTES, dtype=torch.int8, device="cuda")
    pairs = []
    for _ in range(n_runs):
        began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        flushed.zero_()
        torch.cuda._sleep(SLEEP_CYCLES)
        began.record()
        work()
        ended.record()
        pairs.append((began, ended))
    torch.cuda.synchronize()
    return [began.elapsed_time(ended) for began, ended in pairs]


def ceilings(device: torch.device) -> Ceilings:
    """Measure the ceilings by one large product and one large copy, which are small on a CPU."""
    size, n_bytes = (8192, 2**31) if device.type == "cuda" else (256, 2**20)
    a, b = (torch.randn(size, size, device=device).to(torch.bfloat16) for _ in range(2))
    flops = 2 * size**3 / (1e-3 * median_ms(lambda: a @ b, device))
    source, target = (torch.zeros(n_bytes, dtype=torch.int8, device=device) for _ in range(2))
    return Ceilings(flops, 2 * n_bytes / (1e-3 * median_ms(lambda: target.copy_(source), device)))


def facts(device: torch.device, commit: str | None) -> dict[str, str]:
    """Return the GPU, the versions and the commit that a speed belongs to; "none" or "unknown" if there is
    none.
    """
    on_gpu = device.type == "cuda"
    return {
        "gpu": torch.cuda.get_device_name(device) if on_gpu else "none",
        "driver": _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "torch": torch.__version__,
        "triton": triton.__version__,
        "commit": commit or _commit(),
    }


def _commit() -> str:
    """Return the commit that is checked out, with ``-changed`` behind it if tracked files differ from it."""
    here = ("git", "-C", str(Path(__file__).parent))
    commit = _first_line(*here, "rev-parse", "--short=9", "HEAD")
    is_changed = _first_line(*here, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-changed" if is_changed not in ("", "unknown") else commit


def _first_line(*command: str) -> str:
    """Return the first line that a command prints; "unknown" if it fails."""
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return output.partition("\n")[0].strip()
