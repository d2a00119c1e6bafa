"""The split by identity: no held-out protein has a relative in training."""

from collections.abc import Callable

import numpy as np
import pytest
from Bio.Align import PairwiseAligner
from biofm_datasets.splits import Split, split_by_identity

Mutate = Callable[[str, float], str]
Random = Callable[[int], str]


@pytest.fixture
def families(random_protein: Random, mutate: Mutate) -> list[str]:
    """20 families: a founder and four relatives that keep 95 to 60 percent of it."""
    founders = [random_protein(n) for n in range(80, 180, 5)]
    return [mutate(founder, identity) for founder in founders for identity in (1, 0.95, 0.8, 0.7, 0.6)]


def hold_out(sequences: list[str], n: int, seed: int = 0) -> Split:
    return split_by_identity(sequences, ["all"] * len(sequences), n_held_out={"all": n}, seed=seed)


def hold_out_first(query: str, others: list[str]) -> list[int]:
    """Which of the others are removed once ``query`` is held out."""
    groups = ["query"] + ["others"] * len(others)
    split = split_by_identity([query, *others], groups, n_held_out={"query": 1})
    assert split.held_out.tolist() == [0]
    return (split.removed - 1).tolist()


def test_the_parts_are_sorted_and_together_everything(families: list[str]) -> None:
    split = hold_out(families, 6)
    parts = [split.train, split.held_out, split.removed]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(families)))
    for part in parts:
        assert part.dtype == np.int64
        assert part.tolist() == sorted(part.tolist())
        assert len(part) > 0


def test_each_group_gives_its_number_of_proteins(random_protein: Random) -> None:
    sequences = [random_protein(60) for _ in range(40)]
    groups = ["a"] * 25 + ["b"] * 10 + ["c"] * 5
    split = split_by_identity(sequences, groups, n_held_out={"b": 3, "a": 7})
    assert [groups[i] for i in split.held_out] == ["a"] * 7 + ["b"] * 3


def test_held_out_proteins_are_neither_short_nor_long(random_protein: Random) -> None:
    sequences = [random_protein(n) for n in (29, 30, 1022, 1023)]
    assert hold_out(sequences, 2).held_out.tolist() == [1, 2]


def test_a_group_with_too_few_proteins_is_an_error(random_protein: Random) -> None:
    sequences = [random_protein(n) for n in (29, 30, 1023)]
    with pytest.raises(ValueError, match=r"group 'all' has 1 protein of 30 to 1,022 residues, fewer than 2"):
        hold_out(sequences, 2)


def test_the_same_arguments_give_the_same_split(families: list[str]) -> None:
    first, again, other = hold_out(families, 6), hold_out(families, 6), hold_out(families, 6, seed=1)
    for name in ("train", "held_out", "removed"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.held_out.tolist() != other.held_out.tolist()


def test_no_training_sequence_resembles_a_held_out_one(
    families: list[str], reference: PairwiseAligner
) -> None:
    """Every pair is aligned by Biopython, the slow and sure way."""
    split = hold_out(families, 6)
    pairs = [(int(i), int(j)) for i in split.train for j in split.held_out]
    assert not [(i, j) for i, j in pairs if is_similar(reference, families[i], families[j])]


def test_strangers_stay_in_training(families: list[str]) -> None:
    split = hold_out(families, 6)
    held_out_families = {i // 5 for i in split.held_out.tolist()}
    assert {i // 5 for i in split.removed.tolist()} <= held_out_families


def is_similar(reference: PairwiseAligner, a: str, b: str) -> bool:
    counts = reference.align(a, b)[0].counts()
    n_columns = counts.identities + counts.mismatches + counts.gaps
    return bool(n_columns >= 0.5 * min(len(a), len(b)) and counts.identities >= 0.3 * n_columns)


def test_an_exact_copy_is_removed(random_protein: Random) -> None:
    query = random_protein(100)
    assert hold_out_first(query, [random_protein(100), query, random_protein(100)]) == [1]


@pytest.mark.parametrize(("identity", "removed"), [(0.9, [0]), (0.5, [0]), (0.35, [0]), (0.1, [])])
def test_relatives_are_removed_down_to_the_identity(
    identity: float, removed: list[int], random_protein: Random, mutate: Mutate
) -> None:
    query = random_protein(400)
    assert hold_out_first(query, [mutate(query, identity)]) == removed


def test_the_identity_and_the_coverage_can_be_chosen(random_protein: Random, mutate: Mutate) -> None:
    query = random_protein(400)
    sequences = [query, mutate(query, 0.6), query[:70] + random_protein(330)]
    groups = ["query", "others", "others"]

    def removed(**options: float) -> list[int]:
        split = split_by_identity(sequences, groups, n_held_out={"query": 1}, **options)  # type: ignore[arg-type]
        return split.removed.tolist()

    assert removed() == [1]
    assert removed(max_identity=0.9) == []
    assert removed(min_coverage=0.15) == [1, 2]


def test_a_fragment_is_removed_and_so_is_what_contains_the_protein(random_protein: Random) -> None:
    query = random_protein(300)
    fragment, container = query[120:200], random_protein(700) + query + random_protein(200)
    assert hold_out_first(query, [fragment, container, random_protein(300)]) == [0, 1]


def test_a_small_shared_domain_is_no_reason_to_remove(random_protein: Random) -> None:
    query = random_protein(300)
    assert hold_out_first(query, [random_protein(150) + query[:40] + random_protein(150)]) == []


@pytest.mark.parametrize("n_inserted", [10, 60, 200])
def test_a_relative_with_a_long_insertion_is_removed(n_inserted: int, random_protein: Random) -> None:
    query = random_protein(400)
    relative = query[:190] + random_protein(n_inserted) + query[190:]
    assert hold_out_first(query, [relative, random_protein(400)]) == [0]


def test_letters_that_no_matrix_knows_do_no_harm(random_protein: Random) -> None:
    query = random_protein(100)
    odd = [query[:50] + "XBZUOJ*-.<mask>" + query[50:], "X" * 200, "<mask>", "", "-"]
    assert hold_out_first(query, odd) == [0]
    assert hold_out_first(query[:50] + "X<mask>" + query[50:], [query, "X" * 300]) == [0]


def test_holding_out_everything_leaves_nothing_to_train_on(random_protein: Random) -> None:
    split = hold_out([random_protein(50) for _ in range(3)], 3)
    assert (split.held_out.tolist(), split.train.tolist(), split.removed.tolist()) == ([0, 1, 2], [], [])


def test_every_stage_reports_its_work_to_the_end(random_protein: Random) -> None:
    calls: list[tuple[str, int, int]] = []
    query = random_protein(300)
    # In six pieces, so that no diagonal without gaps settles it and every stage has work.
    relative = "".join(query[i : i + 50] + random_protein(10) for i in range(0, 300, 50))
    split_by_identity(
        [query, relative],
        ["query", "others"],
        n_held_out={"query": 1},
        progress=lambda *call: calls.append(call),
    )
    last = {stage: (done, total) for stage, done, total in calls}
    assert list(last) == ["searching", "scoring", "aligning"]
    assert all(done == total > 0 for done, total in last.values())
