"""Banded alignments agree with Biopython's."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from Bio.Align import PairwiseAligner
from biofm_datasets.similarity.banded import NEAR_HALF_BAND, align_banded, score_near_seed
from biofm_datasets.similarity.seeds import Candidates, Residues, encode

Mutate = Callable[[str, float], str]
Random = Callable[[int], str]


def nobody(done: int, total: int) -> None:
    """Progress that nobody watches."""


def pairs_of(
    queries: Residues, targets: Residues, places: Sequence[tuple[int, int]] | None = None
) -> Candidates:
    """Query i with target i, seeded at the places given in each (at their beginnings if none are)."""
    number = np.arange(len(queries.lengths))
    at = np.array(places if places is not None else [(0, 0)] * len(number))
    return Candidates(number, number, targets.starts + at[:, 1], queries.starts + at[:, 0], number)


def with_gaps(sequence: str, random_protein: Random) -> str:
    """The sequence with a piece of 9 cut out, and one of 14 put in."""
    n = len(sequence)
    return sequence[: n // 4] + sequence[n // 4 + 9 : n // 2] + random_protein(14) + sequence[n // 2 :]


@pytest.mark.parametrize("identity", [0.0, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("n_residues", [1, 2, 17, 63, 111, 250])
def test_scores_equal_those_of_biopython(
    n_residues: int, identity: float, random_protein: Random, mutate: Mutate, reference: PairwiseAligner
) -> None:
    queries = [random_protein(n_residues) for _ in range(5)]
    targets = [with_gaps(mutate(query, identity), random_protein) for query in queries]
    q, t = encode(queries), encode(targets)
    found = align_banded(pairs_of(q, t), q, t, n_residues + 20, nobody)
    expected = [reference.score(*pair) for pair in zip(targets, queries, strict=True)]
    assert found.score.tolist() == expected


def test_identities_and_columns_are_those_of_a_best_alignment(
    random_protein: Random, mutate: Mutate, reference: PairwiseAligner
) -> None:
    """Among equal scores ours takes the most identities; at the ends it keeps columns that add up to 0."""
    queries = [random_protein(120) for _ in range(20)]
    targets = [with_gaps(mutate(query, 0.6), random_protein) for query in queries]
    q, t = encode(queries), encode(targets)
    found = align_banded(pairs_of(q, t), q, t, 40, nobody)
    for k, (target, query) in enumerate(zip(targets, queries, strict=True)):
        counts = [alignment.counts() for alignment in reference.align(target, query)]
        n_identical, n_columns = max(
            (count.identities, count.identities + count.mismatches + count.gaps) for count in counts
        )
        assert n_identical <= found.n_identical[k] <= n_identical + 2
        assert n_columns <= found.n_columns[k] <= n_columns + 8


def test_gaps_count_as_columns(reference: PairwiseAligner) -> None:
    query = "MKWVTFISLLFLFSSAYSRGVFRRDAHKSEVAHRFKDLGEENFKALVLIAFAQYLQQCPFEDHVKLV"
    q, t = encode([query]), encode([query[:30] + query[33:]])
    found = align_banded(pairs_of(q, t), q, t, 8, nobody)
    assert (found.n_identical.tolist(), found.n_columns.tolist()) == ([64], [67])
    assert found.score[0] == reference.score(query, query[:30] + query[33:])


def test_pairs_of_every_length_may_share_a_batch(
    random_protein: Random, mutate: Mutate, reference: PairwiseAligner
) -> None:
    queries = [random_protein(n) for n in (400, 1, 30, 111, 63, 5)]
    targets = [mutate(query, 0.7) + random_protein(50) for query in queries]
    q, t = encode(queries), encode(targets)
    expected = [reference.score(*pair) for pair in zip(targets, queries, strict=True)]
    assert align_banded(pairs_of(q, t), q, t, 64, nobody).score.tolist() == expected


def test_a_neighbour_in_the_file_is_never_aligned(random_protein: Random) -> None:
    """The windows of short sequences reach over their neighbours, which here are each other's copies."""
    twin = random_protein(200)
    queries = encode([random_protein(40), twin])
    targets = encode([random_protein(40), twin])
    found = align_banded(pairs_of(queries, targets), queries, targets, 16, nobody)
    assert found.score[0] < 60 < found.score[1]
    near = score_near_seed(pairs_of(queries, targets), queries, targets, nobody)
    assert near[0] < 60 < near[1]


def test_a_gap_wider_than_the_band_ends_the_alignment(random_protein: Random) -> None:
    first, second = random_protein(60), random_protein(100)
    queries = encode([first + second])
    targets = encode([first + random_protein(50) + second])
    narrow, wide = (align_banded(pairs_of(queries, targets), queries, targets, n, nobody) for n in (32, 64))
    assert narrow.n_columns[0] <= 70
    assert wide.n_columns[0] >= 205
    assert wide.score[0] > narrow.score[0]


def test_the_score_near_a_seed_never_exceeds_the_whole(
    random_protein: Random, mutate: Mutate, reference: PairwiseAligner
) -> None:
    queries = [random_protein(300) for _ in range(20)]
    targets = [mutate(query, 0.35) for query in queries]
    q, t = encode(queries), encode(targets)
    near = score_near_seed(pairs_of(q, t, [(150, 150)] * 20), q, t, nobody)
    whole = [reference.score(*pair) for pair in zip(targets, queries, strict=True)]
    assert (near <= whole).all()
    assert (near >= 0.3 * np.array(whole)).all()


def test_short_relatives_have_their_whole_score_near_the_seed(
    random_protein: Random, mutate: Mutate, reference: PairwiseAligner
) -> None:
    queries = [random_protein(75) for _ in range(20)]
    targets = [mutate(query, 0.6)[NEAR_HALF_BAND // 2 :] for query in queries]
    q, t = encode(queries), encode(targets)
    near = score_near_seed(pairs_of(q, t, [(40, 40 - NEAR_HALF_BAND // 2)] * 20), q, t, nobody)
    assert near.tolist() == [reference.score(*pair) for pair in zip(targets, queries, strict=True)]


def test_unknown_residues_match_nothing() -> None:
    queries = encode(["X" * 50])
    found = align_banded(pairs_of(queries, queries), queries, queries, 8, nobody)
    assert (found.score[0], found.n_identical[0]) == (0, 0)


def test_no_pairs_are_no_alignments() -> None:
    queries = encode(["MKV"])
    none = pairs_of(queries, queries).take(slice(0))
    assert len(align_banded(none, queries, queries, 8, nobody).score) == 0
    assert len(score_near_seed(none, queries, queries, nobody)) == 0
