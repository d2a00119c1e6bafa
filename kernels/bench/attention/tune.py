"""Tuning: finds the best block sizes of each kernel on the GPU at hand, among those that spill no register.

They are timed on proteins in bfloat16, one kernel changed at a time; sizes whose results differ do not count.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from biofm_kernels.attention import launch
from biofm_kernels.configs import block_sizes, tables
from correctness import LIMITS
from device import median_ms
from torch import Tensor
from triton.runtime.errors import OutOfResources, PTXASError
from triton.runtime.jit import JITFunction
from workloads import Batch, Workload, make_batch, protein_lengths, relative_error

Sizes = dict[str, int]
Work = Callable[[], list[Tensor]]


class Space(NamedTuple):
    """Holds the sizes to try.

    ``heads`` has the head dims (padded) with a number of heads for each, the most used first.
    """

    heads: dict[int, int]
    lengths: tuple[int, ...]
    rows: tuple[int, ...]  # Rows in a block that a program owns.
    others: tuple[int, ...]  # Rows in a block that it walks.
    warps: tuple[int, ...]
    stages: tuple[int, ...]


FULL = Space({64: 20, 32: 20, 128: 16}, protein_lengths(32768), (128, 64), (64, 128, 32), (4, 8), (3, 2, 4))
REHEARSED = Space({16: 1}, (20,), (64,), (32, 16), (4,), (1,))
MET_BLOCK = {  # For each kernel, the block that a program walks; it owns the other one.
    "attention_forward": "BLOCK_K",
    "attention_delta": None,
    "attention_backward_keys": "BLOCK_Q",
    "attention_backward_queries": "BLOCK_K",
}


def tune(device: torch.device, space: Space, deadline: float, folder: Path) -> None:
    """Write a table named after the device: the table it has now, with what was found before the deadline."""
    name = torch.cuda.get_device_name(device).replace(" ", "_") if device.type == "cuda" else "cpu"
    table = deepcopy(tables.read(tables.table_name(device)))
    for head_dim, n_heads in space.heads.items():
        workload = Workload(name="tune", lengths=space.lengths, n_heads=n_heads, head_dim=head_dim)
        batch = make_batch(workload, device)
        for kernel in MET_BLOCK:
            best = _best(kernel, batch, space, deadline)
            table[kernel][str(batch.q.element_size())][str(head_dim)] = best
            (folder / f"{name}.json").write_text(_written(table), encoding="utf-8")
    print(f"wrote {folder / name}.json")


def _best(kernel: str, batch: Batch, space: Space, deadline: float) -> Sizes:
    """Return the fastest sizes of one kernel."""
    head_dim = batch.workload.head_dim
    best = block_sizes(kernel, head_dim, batch.q.element_size(), batch.q.device)
    work = _work(kernel, batch)
    expected = work()
    least = median_ms(work, batch.q.device)
    print(f"{kernel}, head dim {head_dim}: {least:8.3f} ms {best}", flush=True)
    for sizes in candidates(kernel, space):
        if time.monotonic() > deadline:
            break
        with launched_with(kernel, sizes) as spills:
            ms_or_reason = _ms_or_reason(work, expected, spills, batch)
        print(f"  {ms_or_reason if isinstance(ms_or_reason, str) else f'{ms_or_reason:8.3f} ms'} {sizes}")
        if not isinstance(ms_or_reason, str) and ms_or_reason < least:
            best, least = sizes, ms_or_reason
    return best


def candidates(kernel: str, space: Space) -> Iterator[Sizes]:
    """Yield the sizes to try for one kernel."""
    met = MET_BLOCK[kernel]
    if met is None:
        for rows, warps in itertools.product(space.rows, space.warps):
            yield {"BLOCK_Q": rows, "num_warps": warps, "num_stages": 1}
        return
    owned = {"BLOCK_K": "BLOCK_Q", "BLOCK_Q": "BLOCK_K"}[met]
    for rows, others, warps, stages in itertools.product(space.rows, space.others, space.warps, space.stages):
        yield {owned: rows, met: others, "num_warps": warps, "num_stages": stages}


@contextmanager
def launched_with(kernel: str, sizes: Sizes) -> Iterator[list[int]]:
    """Launch the kernel with these sizes inside the ``with`` block, and list the spilled registers of each
    launch.
    """
    spills: list[int] = []
    run = JITFunction.run

    def listed(self: Any, *args: Any, **kwargs: Any) -> Any:
        compiled = run(self, *args, **kwargs)
        spills.append(compiled.n_spills)
        return compiled

    def chosen(name: str, head_dim: int, itemsize: int, device: torch.device) -> Sizes:
        return sizes if name == kernel else block_sizes(name, head_dim, itemsize, device)

    with mock.patch.object(JITFunction, "run", listed), mock.patch.object(launch, "block_sizes", chosen):
        yield spills


def _ms_or_reason(work: Work, expected: list[Tensor], spills: list[int], batch: Batch) -> float | str:
    """Time the work, or explain why its sizes do not count."""
    try:
        found = work()
    except (OutOfResources, PTXASError) as error:
        return f"does not fit: {error}"
    if any(spills):
        return "spills registers"
    if not relative_error(found, [x.double() for x in expected]) < LIMITS[batch.workload.dtype]:
        return "gives wrong results"
    return median_ms(work, batch.q.device)


@torch.no_grad()
def _work(kernel: str, batch: Batch) -> Work:
    """Make the function that is timed: the pass that the kernel is part of."""
    q, k, v = (x.detach() for x in (batch.q, batch.k, batch.v))
    layout = (batch.tiles, batch.scale, batch.workload.window)
    if kernel == "attention_forward":
        return lambda: list(launch.forward(q, k, v, *layout))
    out, lse = launch.forward(q, k, v, *layout)
    return lambda: list(launch.backward(batch.d_out, q, k, v, out, lse, *layout, batch.rotary))


def _written(table: tables.Table) -> str:
    """Format a table as JSON, with the sizes of a kernel at one head dim on one line."""
    kernels = []
    for kernel, by_itemsize in table.items():
        groups = []
        for itemsize, by_head_dim in by_itemsize.items():
            in_order = sorted(by_head_dim.items(), key=lambda pair: int(pair[0]))
            lines = ",\n".join(f'      "{head_dim}": {json.dumps(sizes)}' for head_dim, sizes in in_order)
            groups.append(f'    "{itemsize}": {{\n{lines}\n    }}')
        kernels.append(f'  "{kernel}": {{\n' + ",\n".join(groups) + "\n  }")
    return "{\n" + ",\n".join(kernels) + "\n}\n"
