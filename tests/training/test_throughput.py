"""The speed of training, as it is counted and shown."""

from dataclasses import replace

import pytest
import torch

from biofm.nn import PackedBatch, pack
from biofm.training import throughput
from biofm.training.flops import Arithmetic, Work
from biofm.training.throughput import Speed, Throughput
from tests.conftest import Clock

ARITHMETIC = Arithmetic(matrix_weights=1000, head_weights=50, pair_products=7)
SPEED = Speed(
    tokens_per_second=5240.4,
    fill=0.991,
    mfu=0.412,
    memory_bytes=1_234_000_000,
    peak_memory_bytes=2_000_000_000,
    seconds_left=725.0,
)


def started(clock: Clock, *, peak_flops: float | None = 1e6, n_processes: int = 1) -> Throughput:
    return Throughput(
        ARITHMETIC,
        budget=50,
        peak_flops=peak_flops,
        device=torch.device("cpu"),
        n_processes=n_processes,
        clock=clock,
    )


NO_ROWS = torch.empty(0, dtype=torch.long)


def batch_of(*lengths: int) -> PackedBatch:
    return pack([torch.zeros(length, dtype=torch.long) for length in lengths])


def test_tokens_fill_and_mfu_are_those_of_the_batches_since_the_last_measurement(clock: Clock) -> None:
    speeds = started(clock)
    for lengths in ((30, 15), (40,)):
        speeds.add(batch_of(*lengths), torch.arange(6))
        clock.now_s += 2
        speed = speeds.measure(1, 10)
        work = Work(n_tokens=sum(lengths), n_pairs=sum(n * n for n in lengths), n_rows=6)
        assert speed.tokens_per_second == sum(lengths) / 2
        assert speed.fill == sum(lengths) / 50
        assert speed.mfu == ARITHMETIC.step(work) / 2 / 1e6


def test_rows_count_with_the_lengths_of_their_sequences_where_the_last_block_is_for_them_alone(
    clock: Clock,
) -> None:
    arithmetic = replace(ARITHMETIC, row_weights=100, row_pair_products=3)
    device = torch.device("cpu")
    speeds = Throughput(arithmetic, budget=50, peak_flops=1e6, device=device, clock=clock)
    speeds.add(batch_of(30, 15), torch.tensor([0, 29, 30]))
    clock.now_s += 1
    work = Work(n_tokens=45, n_pairs=30 * 30 + 15 * 15, n_rows=3, n_row_pairs=30 + 30 + 15)
    assert speeds.measure(1, 2).mfu == arithmetic.step(work) / 1e6


def test_several_batches_of_a_step_add_up(clock: Clock) -> None:
    speeds = started(clock)
    for _ in range(4):
        speeds.add(batch_of(25, 20), NO_ROWS)
        clock.now_s += 1
    speed = speeds.measure(1, 10)
    assert (speed.tokens_per_second, speed.fill) == (45.0, 0.9)


def test_all_processes_count_in_the_tokens_and_none_in_the_share_of_the_machine(clock: Clock) -> None:
    alone, together = started(clock), started(clock, n_processes=4)
    for speeds in (alone, together):
        speeds.add(batch_of(20), NO_ROWS)
    clock.now_s += 1
    one, four = alone.measure(1, 2), together.measure(1, 2)
    assert four.tokens_per_second == 4 * one.tokens_per_second == 80
    assert (four.mfu, four.fill) == (one.mfu, one.fill)


def test_validation_slows_the_time_left_and_not_the_speed(clock: Clock) -> None:
    speeds = started(clock)
    speeds.add(batch_of(40), NO_ROWS)
    clock.now_s += 4
    with speeds.paused():
        clock.now_s += 16
    speed = speeds.measure(2, 6)
    assert speed.tokens_per_second == 10
    assert speed.seconds_left == 4 * (4 + 16) / 2


def test_a_resumed_run_tells_its_time_by_the_steps_of_this_session(clock: Clock) -> None:
    speeds = started(clock)
    clock.now_s += 1000  # loading, before the first step
    speeds.start(90)
    assert speeds.measure(90, 100).seconds_left is None
    clock.now_s += 6
    assert speeds.measure(92, 100).seconds_left == 24
    clock.now_s += 6
    assert speeds.measure(100, 100).seconds_left == 0


def test_without_a_known_peak_there_is_no_share_of_it(clock: Clock) -> None:
    speeds = started(clock, peak_flops=None)
    speeds.add(batch_of(40), NO_ROWS)
    clock.now_s += 1
    speed = speeds.measure(1, 2)
    assert speed.mfu is None
    assert "MFU" not in speed.describe()


def test_a_measurement_without_a_batch_or_a_moment_is_no_fault(clock: Clock) -> None:
    speed = started(clock).measure(0, 10)
    assert (speed.tokens_per_second, speed.fill, speed.mfu, speed.seconds_left) == (0, 0, 0, None)


def test_memory_is_what_the_process_holds(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "resident_bytes", lambda: 5)
    monkeypatch.setattr(throughput, "peak_resident_bytes", lambda: 8)
    speed = started(clock).measure(0, 1)
    assert (speed.memory_bytes, speed.peak_memory_bytes) == (5, 8)


def test_on_a_gpu_memory_is_what_tensors_take_there(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    device = torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "memory_allocated", {device: 3}.__getitem__)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {device: 4}.__getitem__)
    speeds = Throughput(ARITHMETIC, budget=1, peak_flops=None, device=device, clock=clock)
    speed = speeds.measure(0, 1)
    assert (speed.memory_bytes, speed.peak_memory_bytes) == (3, 4)


@pytest.mark.parametrize(
    ("speed", "loss", "line"),
    [
        (SPEED, 2.7134, "loss 2.71, 5,240 tokens/s, MFU 41 %, 1.2 GB, 12 min 5 s left"),
        (SPEED, None, "5,240 tokens/s, MFU 41 %, 1.2 GB, 12 min 5 s left"),
        (SPEED, 0.012345, "loss 0.0123, 5,240 tokens/s, MFU 41 %, 1.2 GB, 12 min 5 s left"),
        (replace(SPEED, mfu=None, seconds_left=None), 3.0, "loss 3.00, 5,240 tokens/s, 1.2 GB"),
    ],
)
def test_the_speed_is_said_in_one_line(speed: Speed, loss: float | None, line: str) -> None:
    assert speed.describe(loss) == line
