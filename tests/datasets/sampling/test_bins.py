"""Packing lengths into bins."""

import numpy as np
import pytest
from biofm_datasets.sampling import fill_bins


def filled(lengths: list[int], budget: int) -> list[list[int]]:
    """The lengths in each bin."""
    values = np.array(lengths, np.int64)
    return [values[places].tolist() for places in fill_bins(values, budget)]


def test_every_length_is_in_one_bin_and_no_bin_is_over_full(generator: np.random.Generator) -> None:
    lengths = generator.integers(1, 500, 1000)
    bins = fill_bins(lengths, 512)
    assert sorted(np.concatenate(bins).tolist()) == list(range(1000))
    assert all(lengths[places].sum() <= 512 for places in bins)
    assert {places.dtype for places in bins} == {np.dtype(np.int64)}


def test_the_fullest_bin_with_room_is_chosen() -> None:
    assert filled([6, 5, 4, 3, 2], 10) == [[6, 4], [5, 3, 2]]
    assert filled([7, 5, 3, 2], 10) == [[7, 3], [5, 2]]


def test_what_is_longer_than_the_budget_is_alone() -> None:
    assert filled([11, 10, 1], 10) == [[11], [10], [1]]


def test_equal_lengths_keep_their_order() -> None:
    assert [places.tolist() for places in fill_bins(np.array([2, 2, 2, 2, 2]), 4)] == [[0, 1], [2, 3], [4]]


def test_nothing_fills_no_bin() -> None:
    assert fill_bins(np.empty(0, np.int64), 10) == []
    assert filled([10], 10) == [[10]]


@pytest.mark.parametrize("scale", [1, 10**9])
def test_long_lengths_are_lengths_too(scale: int) -> None:
    assert filled([6 * scale, 5 * scale, 4 * scale], 10 * scale) == [[6 * scale, 4 * scale], [5 * scale]]
