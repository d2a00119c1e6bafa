"""Block sizes: reads from the tables beside this file how to launch a kernel.

A table is named after an architecture (``sm_90.json``: found by compiling; no register is spilled) or after a
device (``NVIDIA_H200.json``: timed on it). Its levels are kernel, bytes of an element, largest head dim,
sizes.
"""

import json
from functools import cache
from pathlib import Path

import torch

TABLES = Path(__file__).parent
LARGEST_HEAD_DIM = 128  # Every table has block sizes for attention up to this head dim.
Table = dict[str, dict[str, dict[str, dict[str, int]]]]


@cache
def block_sizes(kernel: str, head_dim: int, itemsize: int, device: torch.device) -> dict[str, int]:
    """Return the keyword arguments to launch a kernel with.

    Args:
        kernel: The kernel's name.
        head_dim: The columns of a head after padding.
        itemsize: The bytes of an element.
        device: The device that the kernel runs on.
    """
    by_head_dim = read(table_name(device))[kernel][str(itemsize)]
    return by_head_dim[min((key for key in by_head_dim if head_dim <= int(key)), key=int)]


def table_name(device: torch.device) -> str:
    """Return the name of the table for a device.

    It is the first of these that exists: the device's own table, the table of its architecture, the table of
    the nearest lower architecture, the table of the lowest architecture. Off the GPU, where Triton's
    interpreter runs the kernels, it is a table of small blocks whose sizes all differ.

    Args:
        device: The device that the kernel runs on.
    """
    if device.type != "cuda":
        return "interpreter"
    name = torch.cuda.get_device_name(device).replace(" ", "_")
    if (TABLES / f"{name}.json").exists():
        return name
    major, minor = torch.cuda.get_device_capability(device)
    return f"sm_{nearest_architecture(10 * major + minor)}"


def nearest_architecture(architecture: int) -> int:
    """Return the architecture with a table that is equal or the nearest lower one; the lowest if none is
    lower.
    """
    known = [int(path.stem.removeprefix("sm_")) for path in TABLES.glob("sm_*.json")]
    return max((number for number in known if number <= architecture), default=min(known))


@cache
def read(name: str) -> Table:
    """Read a table."""
    loaded: Table = json.loads((TABLES / f"{name}.json").read_text(encoding="utf-8"))
    return loaded
