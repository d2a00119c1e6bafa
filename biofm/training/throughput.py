"""Throughput: how fast a run trains, how close it is to the machine's peak, and how much time is left."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from biofm.core.memory import peak_resident_bytes, resident_bytes
from biofm.core.text import format_bytes, format_duration
from biofm.nn import PackedBatch
from biofm.training.flops import Arithmetic, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Holds the speed of the steps since the last measurement.

    Attributes:
        tokens_per_second: Tokens of all processes a second. Batches have no padding, so all tokens count.
        fill: Tokens divided by the token budget of their batches.
        mfu: Model FLOPs divided by the machine's peak (Chowdhery et al. 2022); None if that is not known.
        memory_bytes: Memory of this process now; on a GPU, that of its tensors there.
        peak_memory_bytes: The most that ``memory_bytes`` has been.
        seconds_left: Time until the end of the run; None before its first step.
    """

    tokens_per_second: float
    fill: float
    mfu: float | None
    memory_bytes: int
    peak_memory_bytes: int
    seconds_left: float | None

    def describe(self, loss: float | None = None) -> str:
        """Describe the speed: ``loss 2.71, 5,240 tokens/s, MFU 41 %, 1.2 GB, 12 min 5 s left``."""
        parts = [] if loss is None else [f"loss {loss:#.3g}"]
        parts.append(f"{self.tokens_per_second:,.0f} tokens/s")
        if self.mfu is not None:
            parts.append(f"MFU {100 * self.mfu:.0f} %")
        parts.append(format_bytes(self.memory_bytes))
        if self.seconds_left is not None:
            parts.append(f"{format_duration(self.seconds_left)} left")
        return ", ".join(parts)


class Throughput:
    """Measures the speed: call ``start``, then ``add`` with every batch, and ``measure`` now and then.

    Args:
        arithmetic: The matrix products of the model.
        budget: The token budget of a batch.
        peak_flops: The peak rate of this process's device; None if it is not known.
        device: The device on which this process trains.
        n_processes: Processes that train together, each on an equal share of the tokens.
        clock: Returns the time in seconds.
    """

    def __init__(
        self,
        arithmetic: Arithmetic,
        *,
        budget: int,
        peak_flops: float | None,
        device: torch.device,
        n_processes: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._arithmetic = arithmetic
        self._budget = budget
        self._peak_flops = peak_flops
        self._device = device
        self._n_processes = n_processes
        self._clock = clock
        self._n_pairs: Tensor | int
        self._n_row_pairs: Tensor | int
        self.start(0)

    def start(self, step: int) -> None:
        """Start the clock, when ``step`` steps are done."""
        self._first_step, self._began_s = step, self._clock()
        self._reset()

    def add(self, batch: PackedBatch, rows: Tensor) -> None:
        """Count a batch and its judged ``rows``, without waiting for the device."""
        lengths = batch.lengths.long()
        self._n_batches += 1
        self._n_tokens += len(batch.tokens)
        self._n_rows += len(rows)
        self._n_pairs = self._n_pairs + lengths.square().sum()
        if self._arithmetic.row_pair_products:
            self._n_row_pairs = self._n_row_pairs + lengths[batch.sequence_of_token()[rows]].sum()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of the ``with`` (validation, checkpoints) out of the speed, not of the time left."""
        began_s = self._clock()
        try:
            yield
        finally:
            self._paused_s += self._clock() - began_s

    def measure(self, step: int, n_steps: int) -> Speed:
        """Measure the speed since the last call, when ``step`` of ``n_steps`` steps are done."""
        work = Work(
            n_tokens=self._n_tokens,
            n_pairs=int(self._n_pairs),
            n_rows=self._n_rows,
            n_row_pairs=int(self._n_row_pairs),
        )
        now_s = self._clock()  # read after the sums, for which a GPU must have finished all its work
        seconds = max(now_s - self._since_s - self._paused_s, 1e-9)
        n_here = step - self._first_step
        speed = Speed(
            tokens_per_second=self._n_processes * work.n_tokens / seconds,
            fill=work.n_tokens / (self._budget * max(1, self._n_batches)),
            mfu=self._arithmetic.step(work) / seconds / self._peak_flops if self._peak_flops else None,
            memory_bytes=self._memory_bytes(),
            peak_memory_bytes=self._peak_memory_bytes(),
            seconds_left=(now_s - self._began_s) / n_here * max(0, n_steps - step) if n_here > 0 else None,
        )
        self._reset()
        return speed

    def _reset(self) -> None:
        self._since_s, self._paused_s = self._clock(), 0.0
        self._n_batches = self._n_tokens = self._n_rows = self._n_pairs = self._n_row_pairs = 0

    def _memory_bytes(self) -> int:
        on_gpu = self._device.type == "cuda"
        return torch.cuda.memory_allocated(self._device) if on_gpu else resident_bytes()

    def _peak_memory_bytes(self) -> int:
        on_gpu = self._device.type == "cuda"
        return torch.cuda.max_memory_allocated(self._device) if on_gpu else peak_resident_bytes()
