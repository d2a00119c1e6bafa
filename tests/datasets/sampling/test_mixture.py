"""The stream of draws: epochs, shares, stretches."""

from collections import Counter

import numpy as np
import pytest
from biofm_datasets import DataError
from biofm_datasets.sampling import Mixture

Pool = np.ndarray[tuple[int], np.dtype[np.int64]]


def pools(*sizes: int) -> list[Pool]:
    """Sources of so many members, with numbers that no other source has."""
    ends = np.cumsum(sizes)
    return [np.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def stretches(mixture: Mixture, n: int, n_stretches: int) -> Pool:
    return np.concatenate([mixture.draw(stretch, n) for stretch in range(n_stretches)])


@pytest.mark.parametrize("sizes", [(1,), (2,), (1000,), (7, 3), (1, 50, 333)])
def test_an_epoch_visits_every_member_once(sizes: tuple[int, ...]) -> None:
    n = sum(sizes)
    mixture = Mixture(pools(*sizes), None, seed=0)
    for epoch in range(3):
        assert sorted(mixture.draw(epoch, n).tolist()) == list(range(n))


@pytest.mark.parametrize("sizes", [(1,), (10,), (7, 3), (1, 50, 333)])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_windows_of_any_size_hold_every_draw_once(n: int, sizes: tuple[int, ...]) -> None:
    n_members = sum(sizes)
    drawn = stretches(Mixture(pools(*sizes), None, seed=0), n, n_members)
    assert Counter(drawn.tolist()) == dict.fromkeys(range(n_members), n)


def test_each_source_goes_through_its_epochs_whatever_its_weight() -> None:
    drawn = stretches(Mixture(pools(10, 3), [1, 9], seed=0), 8, 25)
    first, second = drawn[drawn < 10], drawn[drawn >= 10]
    for source, size in ((first, 10), (second, 3)):
        for epoch in range(len(source) // size):
            assert len(set(source[epoch * size : (epoch + 1) * size].tolist())) == size


@pytest.mark.parametrize("weights", [[0.7, 0.3], [1, 1], [0.1, 1e-3], [5, 3], [1e-9, 1]])
@pytest.mark.parametrize("n", [1, 10, 97])
def test_a_given_share_is_met_to_within_one_draw(n: int, weights: list[float]) -> None:
    mixture = Mixture(pools(40, 1000), weights, seed=0)
    counts = np.zeros(2)
    for stretch in range(200):
        drawn = mixture.draw(stretch, n)
        counts += [np.sum(drawn < 40), np.sum(drawn >= 40)]
        expected = (stretch + 1) * n * np.array(weights) / sum(weights)
        assert np.all(np.abs(counts - expected) < 1)


def test_without_weights_a_source_counts_by_its_size() -> None:
    assert Mixture(pools(30, 10), None, seed=0).shares == (0.75, 0.25)
    assert Mixture(pools(30, 10), [2, 2], seed=0).shares == (0.5, 0.5)


def test_a_source_without_members_gives_nothing() -> None:
    assert sorted(Mixture(pools(3, 0, 2), None, seed=0).draw(0, 5).tolist()) == [0, 1, 2, 3, 4]


def test_seed_epoch_and_source_each_make_another_order() -> None:
    one, other_seed = (Mixture(pools(500), None, seed=seed) for seed in (0, 1))
    two_sources = Mixture(pools(500, 500), None, seed=0).draw(0, 1000)
    orders = [
        one.draw(0, 500), one.draw(1, 500), other_seed.draw(0, 500), two_sources[two_sources >= 500] - 500
    ]  # fmt: skip
    assert len({tuple(order.tolist()) for order in orders}) == 4
    np.testing.assert_array_equal(one.draw(1, 500), Mixture(pools(500), None, seed=0).draw(1, 500))


def test_members_are_those_of_the_pools() -> None:
    mixture = Mixture([np.array([5, 900]), np.array([17])], None, seed=0)
    assert sorted(mixture.draw(0, 3).tolist()) == [5, 17, 900]


def test_windows_far_away_are_as_near_as_any() -> None:
    mixture = Mixture(pools(1_000_000, 3), None, seed=0)
    stretch = 10**9
    drawn = mixture.draw(stretch, 1_000)
    assert len(drawn) in (999, 1_000)
    assert drawn.max() < 1_000_003


WRONG = {
    "no sources": ([], None, "no sequences"),
    "empty sources": (pools(0, 0), None, "no sequences"),
    "an empty source with a weight": (pools(2, 0), [1, 1], "source 2 has no sequences"),
    "a weight of zero": (pools(2, 2), [1, 0], "the weight of source 2 is 0"),
    "a negative weight": (pools(2, 2), [-1, 1], "the weight of source 1 is -1"),
    "a weight that is no number": (pools(2, 2), [1, float("nan")], "the weight of source 2 is nan"),
    "an infinite weight": (pools(2, 2), [1, float("inf")], "the weight of source 2 is inf"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_drawn_from_is_named(wrong: str) -> None:
    sources, weights, message = WRONG[wrong]
    with pytest.raises(DataError, match=message):
        Mixture(sources, weights, seed=0)
