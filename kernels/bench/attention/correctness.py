"""The gate before any timing: biofm's modes must agree with float64, in the forward pass and every gradient,
and give the same bits at every run.

The cases have the shapes that are timed, so that the checked kernels are the timed ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from providers import BIOFM, Provider
from workloads import Workload, exact_results, make_batch, relative_error

# In the interpreter the tests allow half of these, and in float32 a fifth: a GPU's power of two is
# approximate.
LIMITS = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.2e-2}
LENGTHS = (1, 63, 111, 1000, 0, 9)  # In all a multiple of 16, as in the timed ones.
LENGTHS_REHEARSED = (1, 0, 17)


def cases(shapes: Iterable[tuple[int, int]], lengths: tuple[int, ...]) -> list[Workload]:
    """List the cases: every shape (heads, head dim) in bfloat16, and more for the first shape.

    The first shape also comes in the other dtypes, with windows, and with an odd number of tokens, for which
    another kernel is compiled.
    """
    first, *others = (
        Workload(name="correctness", lengths=lengths, n_heads=n_heads, head_dim=head_dim)
        for n_heads, head_dim in shapes
    )
    dtypes = [replace(first, dtype=dtype) for dtype in LIMITS]
    windows = [replace(first, window=window) for window in ((256, 256), (-1, 0), (16, 3))]
    return [*dtypes, *windows, replace(first, lengths=(*lengths, 1)), *others]


def faults(
    workloads: Iterable[Workload],
    device: torch.device,
    n_runs: int,
    providers: tuple[Provider, ...] = BIOFM,
) -> Iterator[str]:
    """Yield what is wrong, in words; nothing if all is well."""
    for workload in workloads:
        for provider in providers:
            for fault in _faults_of(provider, workload, device, n_runs):
                yield (
                    f"{provider.name}, heads: {workload.n_heads}, head dim: {workload.head_dim}, "
                    f"{workload.dtype}, window {workload.window}: {fault}"
                )


def _faults_of(provider: Provider, workload: Workload, device: torch.device, n_runs: int) -> Iterator[str]:
    """Yield what is wrong with one provider in one case."""
    batch = make_batch(workload, device)
    work = provider.work(batch, "forward+backward")
    found, *again = (work() for _ in range(n_runs))
    error = relative_error(found, exact_results(batch, provider.turning, len(workload.lengths))[: len(found)])
    if not error < LIMITS[workload.dtype]:
        yield f"differs from float64 by {error:.1e}, more than {LIMITS[workload.dtype]:.1e}"
    for other in again:
        if not all(torch.equal(one, two) for one, two in zip(found, other, strict=True)):
            yield "gives other numbers at another run"
