"""Packed batches: bounds, positions, and lists that keep to a budget."""

import pytest
import torch

from biofm.nn import PackedBatch, by_budget, pack


@pytest.fixture
def batch() -> PackedBatch:
    return pack([torch.tensor([5, 6, 7]), torch.tensor([8]), torch.tensor([9, 3])])


def test_sequences_lie_end_to_end(batch: PackedBatch) -> None:
    assert batch.tokens.tolist() == [5, 6, 7, 8, 9, 3]
    assert batch.cu_seqlens.tolist() == [0, 3, 4, 6]
    assert batch.cu_seqlens.dtype == torch.int32
    assert batch.max_seqlen == 3
    assert batch.n_sequences == 3
    assert batch.lengths.tolist() == [3, 1, 2]


def test_positions_count_from_zero_in_every_sequence(batch: PackedBatch) -> None:
    assert batch.positions.tolist() == [0, 1, 2, 0, 0, 1]


def test_a_token_knows_its_sequence(batch: PackedBatch) -> None:
    assert batch.sequence_of_token().tolist() == [0, 0, 0, 1, 2, 2]


def test_a_batch_moves_to_a_device_as_a_whole(batch: PackedBatch) -> None:
    moved = batch.to("meta")
    assert {moved.tokens.device.type, moved.positions.device.type, moved.cu_seqlens.device.type} == {"meta"}
    assert moved.max_seqlen == batch.max_seqlen


def test_a_batch_of_no_sequence_is_a_programmers_fault() -> None:
    with pytest.raises(AssertionError, match="a batch needs at least one sequence"):
        pack([])


@pytest.mark.parametrize(
    ("sizes", "lists"),
    [
        ([], []),
        ([4, 6, 1], [[4, 6], [1]]),
        ([4, 7], [[4], [7]]),
        ([30, 1, 1], [[30], [1, 1]]),
        ([1, 30, 1], [[1], [30], [1]]),
    ],
    ids=["nothing", "exactly full", "one too many", "too large first", "too large between"],
)
def test_lists_keep_to_the_budget_and_to_the_order(sizes: list[int], lists: list[list[int]]) -> None:
    assert list(by_budget([(size, size) for size in sizes], budget=10)) == lists
