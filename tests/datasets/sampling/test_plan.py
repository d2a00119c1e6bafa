"""Bins of members: packed closely, nothing repeated or dropped, and the same rest from any place on."""

from collections import Counter
from itertools import islice, pairwise, takewhile
from pathlib import Path

import numpy as np
import pytest
from biofm_datasets import read_sequences
from biofm_datasets.arrays import Indices
from biofm_datasets.sampling import Cursor, Mixture, Plan, fill_bins

Bins = list[tuple[Cursor, list[int]]]


class Data:
    """A data set of which only the lengths are known."""

    def __init__(self, lengths: Indices) -> None:
        self.all = lengths

    def lengths(self, members: Indices) -> Indices:
        return self.all[members]


def plan_of(lengths: Indices, budget: int, max_length: int = 10**6, seed: int = 0) -> Plan:
    mixture = Mixture([np.arange(len(lengths))], None, seed)
    return Plan(mixture, Data(lengths), budget=budget, max_length=max_length, seed=seed)


def first_bins(plan: Plan, n: int, start: Cursor = Cursor(0, 0)) -> Bins:  # noqa: B008
    return [(cursor, members.tolist()) for cursor, members in islice(plan.bins(start), n)]


@pytest.fixture
def lengths(generator: np.random.Generator) -> Indices:
    return generator.integers(10, 600, 3000)


@pytest.fixture(scope="module")
def uniref(real_data: Path) -> Indices:
    """Tokens of 10,000 UniRef90 proteins, <cls> and <eos> included."""
    path = real_data / "protein" / "uniref90_10k.fasta.gz"
    with path.open("rb") as file:
        return np.array([len(record.sequence) + 2 for record in read_sequences(file, path.name)])


@pytest.mark.parametrize("max_length", [1022, 10**6])
@pytest.mark.parametrize("budget", [4096, 16384])
def test_at_most_two_percent_of_a_batch_is_empty_on_real_proteins(
    budget: int, max_length: int, uniref: Indices
) -> None:
    plan = plan_of(uniref, budget, max_length)
    n_tokens = n_room = 0
    for _, members in takewhile(lambda item: item[0].stretch < 10, plan.bins()):
        used = int(np.minimum(uniref[members], max_length).sum())
        assert used <= budget or len(members) == 1
        n_tokens, n_room = n_tokens + used, n_room + max(used, budget)
    assert n_tokens >= 0.98 * n_room


def test_one_epoch_after_the_other_visits_everything(lengths: Indices) -> None:
    lengths = lengths[:601]
    plan = plan_of(lengths, 1000)
    n_stretches = len(lengths) // np.gcd(len(lengths), plan.n_draws)
    drawn = takewhile(lambda item: item[0].stretch < n_stretches, plan.bins())
    counts = Counter(np.concatenate([members for _, members in drawn]).tolist())
    n_epochs = n_stretches * plan.n_draws // len(lengths)
    assert counts == dict.fromkeys(range(len(lengths)), n_epochs)


def test_a_window_holds_about_64_bins_but_no_more_than_an_epoch(lengths: Indices) -> None:
    assert 60 <= len(list(takewhile(lambda item: item[0].stretch == 0, plan_of(lengths, 4096).bins()))) <= 68
    assert plan_of(lengths, 10**6).n_draws == len(lengths)


def test_a_bin_says_its_own_place(lengths: Indices) -> None:
    places = [cursor for cursor, _ in islice(plan_of(lengths, 4096).bins(), 150)]
    assert places[0] == Cursor(0, 0)
    for one, following in pairwise(places):
        assert following in (Cursor(one.stretch, one.bin + 1), Cursor(one.stretch + 1, 0))


def test_the_rest_of_the_stream_is_the_same_from_any_place_on(lengths: Indices) -> None:
    whole = first_bins(plan_of(lengths, 4096), 200)
    for n_done in (0, 1, 63, 64, 65, 66, 130, 199):
        cursor = whole[n_done][0]
        assert first_bins(plan_of(lengths, 4096), 200 - n_done, cursor) == whole[n_done:]


def test_the_place_behind_a_windows_last_bin_is_the_next_window(lengths: Indices) -> None:
    plan = plan_of(lengths, 4096)
    ends = [cursor for cursor, _ in takewhile(lambda item: item[0].stretch == 0, plan.bins())]
    behind = Cursor(0, ends[-1].bin + 1)
    assert first_bins(plan, 3, behind) == first_bins(plan, 3, Cursor(1, 0))


def test_long_members_count_as_a_crop(generator: np.random.Generator) -> None:
    plan = plan_of(np.full(1000, 5000), 4096, max_length=1024)
    assert {len(members) for _, members in first_bins(plan, 200)} == {4}


def test_full_and_half_empty_bins_are_mixed() -> None:
    """The packing makes the fullest bins first; the order of a stretch does not show it."""
    numbers = np.arange(3000)
    plan = plan_of(10 + numbers % 600, 4096)
    longest = [max(10 + i % 600 for i in members) for _, members in first_bins(plan, 64)]
    assert abs(np.corrcoef(longest, np.arange(64))[0, 1]) < 0.4
    assert longest != sorted(longest, reverse=True)


def test_the_seed_makes_another_order(lengths: Indices) -> None:
    assert first_bins(plan_of(lengths, 4096, seed=0), 5) != first_bins(plan_of(lengths, 4096, seed=1), 5)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_sequences_are_enough(n: int) -> None:
    plan = plan_of(np.full(n, 20), 4096)
    for _, members in first_bins(plan, 10):
        assert sorted(members) == list(range(n))


def test_windows_in_which_nothing_is_drawn_are_passed_over() -> None:
    """Of two sources that share every second draw, a stretch of one draw may hold none."""
    mixture = Mixture([np.array([0]), np.array([1])], None, seed=0)
    plan = Plan(mixture, Data(np.array([60, 60])), budget=1, max_length=60, seed=0)
    assert plan.n_draws == 1
    assert len(mixture.draw(0, 1)) == 0
    drawn = Counter(i for _, members in first_bins(plan, 20) for i in members)
    assert drawn == {0: 10, 1: 10}


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
