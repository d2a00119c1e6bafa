"""Splits at random, by a column and by groups."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from biofm_datasets import DataError
from biofm_datasets.splits import Labels, SplitOptions, hold_out, key_of_cell, label_sequences
from biofm_datasets.store import PARTS, Alphabet, TokenStore
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def split(
    hashes: Hashes, keys: Hashes | None = None, sources: dict[str, slice] | None = None, **options: Any
) -> Labels:
    return label_sequences(
        SplitOptions(**options), TokenStore.of([]), Alphabet(name="", tokens=()), hashes, keys, sources or {},
        Path(), lambda *stage: None,
    )  # fmt: skip


def count(labels: Labels) -> dict[str, int]:
    return dict(zip(PARTS, np.bincount(labels.values, minlength=4).tolist(), strict=True))


@pytest.fixture
def hashes(generator: np.random.Generator) -> Hashes:
    """More than are worked on at once."""
    return generator.integers(0, 1 << 63, 150_000, np.uint64)


def test_without_a_split_all_is_for_training(hashes: Hashes) -> None:
    assert count(split(hashes)) == {"train": 150_000, "validation": 0, "test": 0, "removed": 0}


@pytest.mark.parametrize(
    ("validation", "test", "expected"),
    [(0.1, 0.2, (15_000, 30_000)), (500, 0, (500, 0)), (0, 0.5, (0, 75_000)), (1e-9, 7, (1, 7))],
)
def test_shares_and_numbers_are_met(
    validation: float, test: float, expected: tuple[int, int], hashes: Hashes
) -> None:
    counts = count(split(hashes, method="random", validation=validation, test=test))
    assert (counts["validation"], counts["test"]) == expected
    assert sum(counts.values()) == 150_000


def test_amounts_can_be_of_each_source(hashes: Hashes) -> None:
    sources = {"small": slice(0, 50), "large": slice(50, 150_000)}
    options: dict[str, Any] = {"method": "random", "validation": 3, "test": 0.1, "per_source": True}
    labels = split(hashes, sources=sources, **options).values
    for source, expected in (("small", (42, 3, 5)), ("large", (134_952, 3, 14_995))):
        assert tuple(np.bincount(labels[sources[source]], minlength=3)) == expected
    with pytest.raises(DataError, match="60 of 50 sequences in small cannot be held out"):
        split(hashes, sources=sources, **options | {"validation": 0, "test": 60})


def test_copies_in_other_sources_follow(generator: np.random.Generator) -> None:
    hashes = generator.permutation(np.tile(generator.integers(0, 1 << 63, 1000, np.uint64), 2))
    sources = {"one": slice(0, 700), "other": slice(700, 2000)}
    options: dict[str, Any] = {"method": "random", "test": 99, "validation": 50, "per_source": True}
    labels = split(hashes, sources=sources, **options).values
    assert len({*zip(hashes.tolist(), labels.tolist(), strict=True)}) == 1000
    assert np.sum(labels == 2) >= 2 * 99


def test_the_order_of_the_sequences_means_nothing(hashes: Hashes, generator: np.random.Generator) -> None:
    options: dict[str, Any] = {"method": "random", "validation": 0.1, "test": 0.1}
    order = generator.permutation(len(hashes))
    np.testing.assert_array_equal(
        split(hashes[order], **options).values, split(hashes, **options).values[order]
    )


def test_identical_sequences_are_on_one_side(hashes: Hashes) -> None:
    labels = split(np.tile(hashes[:1000], 3), method="random", validation=0.2, test=0.2).values
    np.testing.assert_array_equal(labels.reshape(3, 1000), np.tile(labels[:1000], (3, 1)))


def test_more_for_validation_takes_nothing_from_the_test(hashes: Hashes) -> None:
    few, many = (split(hashes, method="random", validation=n, test=100).values for n in (0, 10_000))
    np.testing.assert_array_equal(few == 2, many == 2)


def test_the_seed_makes_another_split(hashes: Hashes) -> None:
    one, two = (split(hashes, method="random", test=0.5, seed=seed).values for seed in (0, 1))
    assert 0.45 < np.mean(one == two) < 0.55


def test_the_blocks_are_worked_on_alike(hashes: Hashes, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"method": "random", "validation": 0.1, "test": 0.1}
    whole = split(hashes, **options).values
    monkeypatch.setattr(hold_out, "BLOCK", 1001)
    np.testing.assert_array_equal(split(hashes, **options).values, whole)


@pytest.mark.parametrize("n", [150_000, 150_001, 10**9])
def test_something_must_be_left_to_train_on(n: int, hashes: Hashes) -> None:
    with pytest.raises(DataError, match="of 150,000 sequences cannot be held out"):
        split(hashes, method="random", test=n)
    with pytest.raises(DataError, match="nothing is left to train on"):
        split(np.zeros(10, np.uint64), method="random", test=1)


def keys_of(cells: list[str], options: SplitOptions) -> Hashes:
    return np.array(
        [key_of_cell(cell, options, f"t.csv, line {i}") for i, cell in enumerate(cells)], np.uint64
    )


def test_a_column_says_the_parts_in_its_own_words(hashes: Hashes) -> None:
    cells = ["train", "validation", "valid", "val", "test", "Test", "TRAIN"]
    options = SplitOptions(method="column", column="set")
    labels = split(hashes[:7], keys_of(cells, options), method="column", column="set")
    assert [PARTS[label] for label in labels.values] == ["train", *["validation"] * 3, *["test"] * 2, "train"]


@pytest.mark.parametrize("cell", ["", "training", "0", "removed"])
def test_another_word_is_an_error_with_its_row(cell: str) -> None:
    with pytest.raises(DataError) as caught:
        keys_of(["train", cell], SplitOptions(method="column", column="set"))
    assert caught.value.where == "t.csv, line 1"
    assert f"column 'set' holds {cell!r}" in caught.value.what


def test_a_column_without_training_is_an_error(hashes: Hashes) -> None:
    keys = keys_of(["test", "val"], SplitOptions(method="column", column="set"))
    with pytest.raises(DataError, match="nothing is left to train on"):
        split(hashes[:2], keys, method="column", column="set")


CELLS = [f"group {i % 40}" for i in range(1000)]


def split_groups(**options: Any) -> Labels:
    options |= {"method": "group", "column": "family"}
    return split(np.arange(1000, dtype=np.uint64), keys_of(CELLS, SplitOptions(**options)), **options)


@pytest.mark.parametrize("validation", [0.25, 10])
def test_every_sequence_of_a_group_is_on_one_side(validation: float) -> None:
    labels = split_groups(validation=validation, test=4)
    parts = {group: {int(x) for x in labels.values[i::40]} for i, group in enumerate(CELLS[:40])}
    assert {len(found) for found in parts.values()} == {1}
    assert labels.found == {"n_groups": {"train": 26, "validation": 10, "test": 4}}
    assert count(labels) == {"train": 650, "validation": 250, "test": 100, "removed": 0}


def test_groups_can_be_named() -> None:
    labels = split_groups(test_groups=("group 7", "group 9"), validation=1)
    assert set(np.flatnonzero(labels.values == 2) % 40) == {7, 9}
    assert labels.found["n_groups"]["test"] == 2


def test_a_group_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match="column 'family' names no group 'group 77'"):
        split_groups(test_groups=("group 77",))


def test_a_row_without_a_group_is_an_error() -> None:
    with pytest.raises(DataError, match=r"t\.csv, line 1: column 'family' is empty"):
        keys_of(["a", ""], SplitOptions(method="group", column="family", test=1))


def test_all_groups_cannot_be_held_out() -> None:
    with pytest.raises(DataError, match="40 of 40 groups cannot be held out"):
        split_groups(test=40)
