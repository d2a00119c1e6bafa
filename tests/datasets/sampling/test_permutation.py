"""Orders that are computed: every element once, all orders equally often, the same on every machine."""

from collections import Counter
from math import factorial

import numpy as np
import pytest
from biofm_datasets.sampling import permute
from biofm_datasets.sampling.permutation import key_of


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 16, 17, 99, 1000, 65_537])
def test_every_element_has_one_place(n: int) -> None:
    for key in range(5):
        found = permute(np.arange(n), n, key_of(key))
        assert found.dtype == np.int64
        assert sorted(found.tolist()) == list(range(n))


def test_a_part_of_an_order_is_that_part_of_it() -> None:
    whole = permute(np.arange(1000), 1000, key_of(3))
    assert permute(np.array([999, 0, 17]), 1000, key_of(3)).tolist() == whole[[999, 0, 17]].tolist()
    assert permute(np.empty(0, np.int64), 1000, key_of(3)).tolist() == []


def test_each_place_may_have_a_key_of_its_own() -> None:
    keys = key_of(5, np.arange(10))
    together = permute(np.full(10, 4), 1000, keys)
    assert together.tolist() == [permute(np.array([4]), 1000, key_of(5, i)).item() for i in range(10)]


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_all_orders_of_a_few_elements_come_equally_often(n: int) -> None:
    """Chi-square against the uniform distribution, no more than four of its standard deviations away."""
    n_orders, expected = factorial(n), 100
    n_keys = expected * n_orders
    keys = np.repeat(key_of(0, np.arange(n_keys)), n)
    orders = permute(np.tile(np.arange(n), n_keys), n, keys).reshape(n_keys, n)
    counts = Counter(map(tuple, orders.tolist()))
    assert len(counts) == n_orders
    freedom = n_orders - 1
    chi_square = sum((count - expected) ** 2 for count in counts.values()) / expected
    assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5


def test_any_whole_number_is_a_key() -> None:
    seeds = [0, 1, -1, 2**63, 2**64 + 2]
    assert len({tuple(permute(np.arange(50), 50, key_of(seed)).tolist()) for seed in seeds}) == 5
    assert key_of(-1, 3) == key_of(-1, np.array([3]))


def test_neighbours_are_torn_apart() -> None:
    found = permute(np.arange(100_000), 100_000, key_of(0))
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.02
    assert abs(np.corrcoef(found, np.arange(100_000))[0, 1]) < 0.02


def test_the_order_is_written_in_stone() -> None:
    """A run that is resumed with another version of numpy goes on with the same examples."""
    assert permute(np.arange(10), 10, key_of(0)).tolist() == [7, 1, 3, 4, 5, 8, 0, 2, 6, 9]
