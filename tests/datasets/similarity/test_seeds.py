"""Spaced seeds: relatives are found where they are, strangers are not."""

from collections.abc import Callable

import numpy as np
import pytest
from Bio.Align import PairwiseAligner
from biofm_datasets.similarity.seeds import (
    AMINO_ACIDS,
    CHUNK_RESIDUES,
    CLASSES,
    CORE,
    GAP,
    REACH,
    SHAPES,
    encode,
    find_candidates,
)

Mutate = Callable[[str, float], str]
Random = Callable[[int], str]


def nobody(done: int, total: int) -> None:
    """Progress that nobody watches."""


def test_the_classes_hold_every_amino_acid_once() -> None:
    assert sorted("".join(CLASSES)) == list(AMINO_ACIDS)


def test_the_shapes_are_different_and_fit_the_core() -> None:
    assert len(set(SHAPES)) == len(SHAPES)
    assert {shape.count("1") for shape in SHAPES} == {6}
    assert all(shape.startswith("1") and shape.endswith("1") and len(shape) <= CORE for shape in SHAPES)
    assert GAP >= CORE + REACH, "an extension must end before the next sequence"


def test_encoding_keeps_places_and_lengths() -> None:
    residues = encode(["ACY", "", "WX<mask>-V"])
    assert residues.lengths.tolist() == [3, 0, 10]
    texts = [
        "".join((AMINO_ACIDS + "?")[code] for code in residues.codes[start : start + length])
        for start, length in zip(residues.starts, residues.lengths, strict=True)
    ]
    assert texts == ["ACY", "", "W????????V"]


def test_all_between_and_around_sequences_is_unknown() -> None:
    residues = encode(["ACD", "EF"])
    assert residues.starts.tolist() == [GAP, GAP + 3 + GAP]
    known = np.flatnonzero(residues.codes < len(AMINO_ACIDS))
    assert known.tolist() == [GAP, GAP + 1, GAP + 2, 2 * GAP + 3, 2 * GAP + 4]
    assert len(residues.codes) == 3 * GAP + 5


def test_a_shared_stretch_is_found_on_its_diagonal(random_protein: Random) -> None:
    stretch = random_protein(40)
    queries = encode([random_protein(90), random_protein(50) + stretch + random_protein(30)])
    targets = encode([random_protein(200), random_protein(80), random_protein(7) + stretch])
    pairs = find_candidates(queries, targets, nobody)
    assert list(zip(pairs.target.tolist(), pairs.query.tolist(), strict=True)) == [(2, 1)]
    target_at = int(pairs.target_at[0] - targets.starts[2])
    query_at = int(pairs.query_at[0] - queries.starts[1])
    assert 7 <= target_at < 47
    assert target_at - query_at == 7 - 50


@pytest.mark.parametrize("end", ["first", "last"])
def test_relatives_are_found_at_either_end_of_the_sequences(end: str, random_protein: Random) -> None:
    stretch = random_protein(15)
    joined = [
        stretch + other if end == "first" else other + stretch
        for other in (random_protein(60), random_protein(50))
    ]
    pairs = find_candidates(encode(joined[:1]), encode(joined[1:]), nobody)
    assert pairs.target.tolist() == [0]


def test_an_extension_goes_to_both_sides(random_protein: Random, reference: PairwiseAligner) -> None:
    protein = random_protein(REACH + CORE + REACH)
    pairs = find_candidates(encode([protein]), encode([protein]), nobody)
    assert pairs.score.tolist() == [reference.score(protein, protein)]


@pytest.mark.parametrize("n_before", range(11))
def test_a_stretch_across_the_edge_of_a_chunk_is_found(n_before: int, random_protein: Random) -> None:
    stretch = "WCHWYHWCPW"
    before = "A" * (CHUNK_RESIDUES - GAP - n_before)
    targets = encode([before + stretch + "A" * 30])
    assert targets.codes[CHUNK_RESIDUES - n_before] == AMINO_ACIDS.index("W")
    pairs = find_candidates(encode([random_protein(20) + stretch + random_protein(20)]), targets, nobody)
    assert pairs.target.tolist() == [0]


def test_strangers_are_hardly_ever_candidates(random_protein: Random) -> None:
    queries, targets = (encode([random_protein(300) for _ in range(40)]) for _ in range(2))
    assert len(find_candidates(queries, targets, nobody).target) < 0.03 * 40 * 40


def test_relatives_at_forty_percent_identity_are_nearly_all_found(
    random_protein: Random, mutate: Mutate
) -> None:
    families = [random_protein(250) for _ in range(40)]
    targets = encode([mutate(family, 0.4) for family in families])
    pairs = find_candidates(encode(families), targets, nobody)
    assert (pairs.target == pairs.query).sum() >= 39


def test_a_pair_is_reported_once_at_its_best_seed(random_protein: Random) -> None:
    weak, strong = random_protein(14), random_protein(40)
    queries = encode([weak + random_protein(60) + strong])
    targets = encode([strong + random_protein(90) + weak])
    pairs = find_candidates(queries, targets, nobody)
    assert len(pairs.target) == 1
    assert int(pairs.target_at[0] - targets.starts[0]) < 40
    assert pairs.score[0] > 100


def test_unknown_residues_are_no_seed() -> None:
    assert len(find_candidates(encode(["X" * 100]), encode(["X" * 100]), nobody).target) == 0


def test_low_complexity_is_passed_over(random_protein: Random) -> None:
    queries = encode(["S" * 500, random_protein(100)])
    assert len(find_candidates(queries, encode(["S" * 300]), nobody).target) == 0


def test_work_is_reported_to_its_end(random_protein: Random) -> None:
    calls: list[tuple[int, int]] = []
    find_candidates(
        encode([random_protein(50)]),
        encode([random_protein(50_000)]),
        lambda done, total: calls.append((done, total)),
    )
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1][0] == calls[-1][1]
    assert len({total for _, total in calls}) == 1
