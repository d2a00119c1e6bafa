"""Whole clusters: joined as scipy joins them, dealt whole, and refused with figures where that cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from biofm_datasets import DataError
from biofm_datasets.splits import clusters
from biofm_datasets.splits.clusters import Clusters
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tests.datasets.splits.test_identity import families, split

__all__ = ["families"]


@pytest.mark.parametrize("n_edges", [0, 60, 200, 2000])
def test_clusters_are_the_connected_components_of_scipy(n_edges: int) -> None:
    rng = np.random.default_rng(n_edges)
    a, b = rng.integers(300, size=(2, n_edges))
    found = Clusters(300)
    for part in np.array_split(np.arange(n_edges), 7):
        found.join(a[part], b[part])
    graph = coo_array((np.ones(n_edges), (a, b)), shape=(300, 300))
    n, expected = connected_components(graph, directed=False)
    numbers = found.numbers()
    assert len(np.unique(numbers)) == numbers.max() + 1 == n
    pairs = np.unique(np.stack([numbers, expected]), axis=1)
    assert pairs.shape[1] == n, "one of the one is one of the other"


@pytest.fixture
def chain(random_protein: Callable[[int], str]) -> list[str]:
    """Each of 12 overlaps the next by half of it, so the first resembles the last in nothing; and 8 strangers
    of which one is too short to be held out.
    """
    long = random_protein(13 * 60)
    links = [long[60 * i : 60 * i + 120] for i in range(12)]
    return links + [random_protein(100) for _ in range(7)] + [links[0][:25]]


def test_a_chain_of_relatives_is_one_cluster_and_its_size_is_told(chain: list[str], tmp_path: Path) -> None:
    found = split(chain, tmp_path, method="cluster", test=3, validation=2, tool="kmer", min_coverage=0.4)
    assert found.values[:12].tolist() == [0] * 12, "it is larger than what is held out"
    assert np.bincount(found.values, minlength=4)[1:].tolist() == [2, 3, 0]
    assert found.found["largest_cluster"] >= 12
    (told,) = found.notices
    assert "more than half of all and so stays in training" in told
    with pytest.raises(DataError) as caught:
        split(chain, tmp_path, method="cluster", test=9, tool="kmer", min_coverage=0.4)
    assert "whole clusters are 2 of 19 sequences short of the amount" in caught.value.what
    assert "of 20 sequences (6" in caught.value.what
    assert "--max-identity above 0.3" in (caught.value.remedy or "")


def test_the_order_and_the_parts_of_a_search_leave_no_trace(
    families: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"method": "cluster", "test": 10, "validation": 5, "tool": "kmer"}
    whole = split(families, tmp_path, **options)
    backwards = split(families[::-1], tmp_path, **options).values[::-1]
    np.testing.assert_array_equal(whole.values, backwards)
    monkeypatch.setattr(clusters, "CHUNK_TOKENS", 50_000)
    np.testing.assert_array_equal(split(families, tmp_path, **options).values, whole.values)


def test_each_source_gives_its_amount(families: list[str], tmp_path: Path) -> None:
    sources = {"one": slice(0, 75), "other": slice(75, 150)}
    labels = split(families, tmp_path, sources, method="cluster", test=5, tool="kmer", per_source=True).values
    assert [int(np.sum(labels[part] == 2)) for part in sources.values()] == [5, 5]


def test_what_our_own_search_cannot_do_is_refused(
    families: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "MOST_TOKENS_OF_OWN", 1000)
    with pytest.raises(DataError, match=r"residues are too many for biofm's own search.*Install MMseqs2"):
        split(families, tmp_path, method="cluster", test=5, tool="kmer")
