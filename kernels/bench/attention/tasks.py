"""The tasks of the benchmark: each measures a row, and they come in the order in which they run."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import torch
from correctness import LENGTHS, LENGTHS_REHEARSED
from device import Ceilings, median_ms
from encoders import CONTENDERS, Proteins, Shape, error_of, work_of
from providers import BIOFM, FLEX, SDPA, VARLEN, Provider
from rows import Row
from torch import Tensor
from workloads import (
    PASSES,
    Batch,
    Pass,
    Turning,
    Workload,
    exact_results,
    make_batch,
    protein_lengths,
    relative_error,
)

N_EXACT = 2  # Sequences that are computed in float64 too.
ENCODER_PASSES: dict[Pass, str] = {"forward": "forward", "forward+backward": "training step"}


class Sizes(NamedTuple):
    """Holds what is measured: on a GPU, and in rehearsal."""

    shapes: tuple[tuple[int, int], ...]  # heads, head dim
    padded_shape: tuple[int, int]
    checked_lengths: tuple[int, ...]
    n_checked_runs: int
    n_tokens: int
    lengths: tuple[int, ...]
    proteins: tuple[int, ...]
    encoded_proteins: tuple[int, ...]
    n_dna: int
    dna_window: int
    encoder: Shape


FULL = Sizes(
    shapes=((20, 64), (32, 64), (16, 128), (15, 64)),
    padded_shape=(20, 24),
    checked_lengths=LENGTHS,
    n_checked_runs=10,
    n_tokens=16384,
    lengths=(512, 1024, 2048, 256, 128, 4096, 8192),
    proteins=protein_lengths(32768),
    encoded_proteins=protein_lengths(16384),
    n_dna=32768,
    dna_window=256,
    encoder=Shape(n_layers=33, d_model=1280, n_heads=20),
)
REHEARSED = Sizes(
    shapes=((1, 16),),
    padded_shape=(1, 24),
    checked_lengths=LENGTHS_REHEARSED,
    n_checked_runs=2,
    n_tokens=32,
    lengths=(16,),
    proteins=(3, 17),
    encoded_proteins=(5, 11),
    n_dna=20,
    dna_window=8,
    encoder=Shape(n_layers=1, d_model=32, n_heads=1),
)


class Bench(NamedTuple):
    """Holds the device and what it can do at best."""

    device: torch.device
    ceilings: Ceilings


class Task(NamedTuple):
    """Holds a row to measure, and the function that measures it."""

    row: Row
    measure: Callable[[Bench], Row]


def tasks(sizes: Sizes) -> Iterator[Task]:
    """Yield all rows, the most telling first; those that keep a compiler busy come last."""
    first, *others = sizes.shapes
    main_ones, *rest = ([_proteins(sizes, shape), *_equal(sizes, shape)] for shape in (first, *others))
    yield from _attention_tasks(main_ones, (*BIOFM, *VARLEN, *SDPA))
    yield from _encoder_tasks(sizes)
    yield from _attention_tasks([_dna(sizes, first)], (*BIOFM, *VARLEN))
    yield from _attention_tasks([*main_ones, _dna(sizes, first)], FLEX)
    for workloads in rest:
        yield from _attention_tasks(workloads, (*BIOFM, *VARLEN, *SDPA, *FLEX))


def _proteins(sizes: Sizes, shape: tuple[int, int]) -> Workload:
    """Make a workload of proteins."""
    return Workload(name="proteins", lengths=sizes.proteins, n_heads=shape[0], head_dim=shape[1])


def _equal(sizes: Sizes, shape: tuple[int, int]) -> list[Workload]:
    """Make workloads of equal lengths."""
    return [
        Workload(
            name=f"equal {length}",
            lengths=(length,) * (sizes.n_tokens // length),
            n_heads=shape[0],
            head_dim=shape[1],
        )
        for length in sizes.lengths
    ]


def _dna(sizes: Sizes, shape: tuple[int, int]) -> Workload:
    """Make a workload of one long sequence with a window."""
    window = (sizes.dna_window, sizes.dna_window)
    return Workload(
        name=f"DNA, window {sizes.dna_window}",
        lengths=(sizes.n_dna,),
        n_heads=shape[0],
        head_dim=shape[1],
        window=window,
    )


def _attention_tasks(workloads: list[Workload], providers: tuple[Provider, ...]) -> Iterator[Task]:
    """Yield the tasks of some providers on some workloads."""
    for workload in workloads:
        for which in PASSES:
            for provider in providers:
                yield _attention_task(workload, which, provider)


def _attention_task(workload: Workload, which: Pass, provider: Provider) -> Task:
    """Make the task of one provider, pass and workload."""
    row = Row(
        workload=workload.name, tokens=workload.n_tokens, heads=workload.n_heads, head_dim=workload.head_dim,
        which=which, provider=provider.name, dtype=str(workload.dtype).removeprefix("torch."),
    )  # fmt: skip

    def measure(bench: Bench) -> Row:
        work = provider.work(_batch(workload, bench.device), which)
        exact = _exact_results(workload, provider.turning, bench.device)
        found = [x[: len(y)] for x, y in zip(work(), exact, strict=False)]
        error = relative_error(found, exact[: len(found)])
        flops = workload.flops(which)
        floor = max(flops / bench.ceilings.flops, workload.bytes(which) / bench.ceilings.bytes)
        return _timed(row, median_ms(work, bench.device), flops, floor, error)

    return Task(row, measure)


@lru_cache(maxsize=1)
def _batch(workload: Workload, device: torch.device) -> Batch:
    """Make a batch; keep the last one."""
    return make_batch(workload, device)


@lru_cache(maxsize=3)
def _exact_results(workload: Workload, turning: Turning, device: torch.device) -> list[Tensor]:
    """Compute the exact output and the gradients of q, k and v; keep the last ones.

    The gradients of a norm's weights are left out, because they are sums over every sequence.
    """
    return exact_results(_batch(workload, device), turning, N_EXACT)[:4]


def _encoder_tasks(sizes: Sizes) -> Iterator[Task]:
    """Yield the tasks of the whole encoder."""
    for which in PASSES:
        for name in CONTENDERS:
            yield _encoder_task(sizes.encoder, sizes.encoded_proteins, name, which)


def _encoder_task(shape: Shape, lengths: tuple[int, ...], name: str, which: Pass) -> Task:
    """Make the task of one contender and pass over the whole encoder."""
    row = Row(
        workload=f"ESM-2 of {shape.n_layers} layers on proteins", tokens=sum(lengths), heads=shape.n_heads,
        head_dim=shape.d_model // shape.n_heads, which=ENCODER_PASSES[which], provider=name, dtype="bfloat16",
    )  # fmt: skip

    def measure(bench: Bench) -> Row:
        contender = CONTENDERS[name](shape, Proteins(lengths, bench.device))
        ms = median_ms(work_of(contender, which), bench.device)
        error = error_of(contender, N_EXACT) if which == "forward" else None
        flops = shape.flops(lengths, which)
        return _timed(row, ms, flops, flops / bench.ceilings.flops, error)

    return Task(row, measure)


def _timed(row: Row, ms: float, flops: float, floor_s: float, error: float | None) -> Row:
    """Add the speeds that follow from a time to a row."""
    seconds = 1e-3 * ms
    return replace(
        row,
        median_ms=ms,
        tflops=flops / seconds / 1e12,
        times_floor=seconds / floor_s,
        tokens_per_s=row.tokens / seconds,
        error=error,
    )
