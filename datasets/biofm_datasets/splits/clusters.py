"""Splits by whole families: proteins that are similar, directly or through others, are in the same part."""

from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from biofm_datasets.arrays import Bools, Indices
from biofm_datasets.errors import DataError
from biofm_datasets.progress import OnStage
from biofm_datasets.sampling.permutation import key_of
from biofm_datasets.similarity import find_pairs
from biofm_datasets.splits import mmseqs
from biofm_datasets.splits.hold_out import Keys, PartLabels, amount_of, blocks
from biofm_datasets.splits.options import SplitOptions
from biofm_datasets.splits.relatives import (
    CHUNK_TOKENS,
    OWN_TOOL,
    Search,
    can_be_held_out,
    chunks_of,
    progress_of_step,
)
from biofm_datasets.store.files import REMOVED, TEST, TRAIN, VALIDATION
from biofm_datasets.store.record import Alphabet
from biofm_datasets.store.tokens import TokenStore
from biofm_datasets.text import format_count

MOST_TOKENS_OF_OWN = 5_000_000
"""The most tokens of all sequences that biofm's own search compares with each other, which takes an hour."""
MOST_TOKENS_TWICE = 1_000_000
"""The most tokens of all sequences among which it looks for what MMseqs2 missed, which takes minutes."""


def label_by_cluster(
    tokens: TokenStore,
    alphabet: Alphabet,
    hashes: Keys,
    sources: Mapping[str, slice],
    options: SplitOptions,
    scratch: Path,
    progress: OnStage,
) -> tuple[PartLabels, str, dict[str, Any]]:
    """Label the sequences; return also the tool that found the relatives, and the clusters in numbers.

    Clusters are joined by single linkage: two proteins that are similar by ``max_identity`` and
    ``min_coverage``, or by a margin less (``Similarity.with_margin``), are in one cluster, and so are their
    relatives. Whole clusters are drawn at random, first for the test and then for validation. A cluster with
    more proteins than are still to be held out stays in training. The only sequences left out are relatives
    of held-out proteins that are too short or too long to be held out themselves.

    Raises:
        DataError: Whole clusters cannot reach the amounts, or the tool is missing or fails.
    """
    known = np.concatenate([np.empty(0, np.uint64), *(hashes[block] for block in blocks(len(hashes)))])
    distinct, first, of_distinct = np.unique(known, return_index=True, return_inverse=True)
    clusters, tool = find_clusters(tokens, first, Search.of(options, alphabet, scratch, progress))
    cluster = clusters[of_distinct]
    eligible = can_be_held_out(tokens, alphabet)(slice(0, len(known)))
    source = np.zeros(len(known), np.int64)
    for number, rows in enumerate(sources.values()):
        source[rows] = number
    sizes = np.bincount(cluster)
    counts = np.zeros((len(sizes), len(sources)), np.int64)
    np.add.at(counts, (cluster[eligible], source[eligible]), 1)
    ranks = np.full(len(sizes), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(ranks, clusters, key_of(options.seed, distinct.view(np.int64)))
    parts = _deal(counts, np.argsort(ranks, kind="stable"), options, list(sources), sizes)
    labels = parts[cluster]
    labels[(labels != TRAIN) & ~eligible] = REMOVED
    return labels, tool, {"n_clusters": len(sizes), "largest_cluster": int(sizes.max())}


def find_clusters(tokens: TokenStore, members: Indices, search: Search) -> tuple[Indices, str]:
    """Return the cluster number of each of some distinct sequences, and the tool that found the clusters."""
    clusters, tools = Clusters(len(members)), []
    n_tokens = int(tokens.lengths(members).sum())
    if mmseqs.is_chosen(search.tool):
        proteins = (search.spell(tokens[i]) for i in members)
        for pairs in mmseqs.find_pairs(
            proteins, None, len(members), search.similarity, search.scratch, search.progress
        ):
            clusters.join(*pairs)
        tools.append(mmseqs.version())
    if not tools and n_tokens > MOST_TOKENS_OF_OWN:
        what = f"{n_tokens:,} residues are too many for biofm's own search, which compares all proteins"
        remedy = "Install MMseqs2, or give --split identity, which compares held-out proteins only"
        raise DataError(what, where="--split cluster", remedy=remedy)
    if not tools or (search.tool == "auto" and n_tokens <= MOST_TOKENS_TWICE):
        _join_by_own(clusters, tokens, members, search)
        tools.append(OWN_TOOL)
    return clusters.numbers(), ", then ".join(tools)


class Clusters:
    """Joins members by single linkage: each points to one with a lower or equal number in its cluster."""

    def __init__(self, n: int) -> None:
        self._above = np.arange(n)

    def join(self, a: Indices, b: Indices) -> None:
        """Put each of ``a`` and the one beside it in ``b`` into one cluster."""
        while len(a):
            a, b = self.roots(a), self.roots(b)
            is_apart = a != b
            a, b = a[is_apart], b[is_apart]
            np.minimum.at(self._above, np.maximum(a, b), np.minimum(a, b))

    def roots(self, members: Indices) -> Indices:
        """Return the lowest member of the cluster of each."""
        while True:
            above = self._above[members]
            if np.array_equal(above, members):
                return above
            self._above[members] = self._above[above]
            members = above

    def are_apart(self, a: Indices, b: Indices) -> Bools:
        """Return which pairs are in different clusters."""
        are_apart: Bools = self.roots(a) != self.roots(b)
        return are_apart

    def numbers(self) -> Indices:
        """Return the cluster number of each member, from 0."""
        _, numbers = np.unique(self.roots(np.arange(len(self._above))), return_inverse=True)
        return numbers


def _join_by_own(clusters: Clusters, tokens: TokenStore, members: Indices, search: Search) -> None:
    pairs = list(combinations_with_replacement(_chunks(tokens, members), 2))
    for number, (one, other) in enumerate(pairs, start=1):
        queries, targets = ([search.spell(tokens[members[i]]) for i in chunk] for chunk in (one, other))
        report = progress_of_step(search.progress, number, len(pairs))

        def join(a: Indices, b: Indices, one: Indices = one, other: Indices = other) -> None:
            clusters.join(one[a], other[b])

        def is_open(a: Indices, b: Indices, one: Indices = one, other: Indices = other) -> Bools:
            return clusters.are_apart(one[a], other[b])

        find_pairs(queries, targets, search.similarity, report, join, is_open)


def _chunks(tokens: TokenStore, members: Indices) -> Iterator[Indices]:
    """Return the places among the members, in chunks whose pairs fit into memory."""
    ends = np.cumsum([0, *map(len, chunks_of(tokens, members, CHUNK_TOKENS // 10))])
    return (np.arange(*pair) for pair in pairwise(ends.tolist()))


def _deal(
    counts: Indices,
    order: Indices,
    options: SplitOptions,
    sources: list[str],
    sizes: Indices,
) -> PartLabels:
    """Return the part of each cluster.

    ``counts`` holds, for each cluster, how many of its sequences can be held out of each source.
    """
    parts = np.full(len(counts), TRAIN, np.uint8)
    n_eligible = counts.sum(axis=0)
    for part, amount in ((TEST, options.test), (VALIDATION, options.validation)):
        missing = np.array([amount_of(amount, int(n)) for n in n_eligible])
        for number in order.tolist():
            if not missing.any():
                break
            if parts[number] == TRAIN and counts[number].any() and (counts[number] <= missing).all():
                parts[number] = part
                missing -= counts[number]
        if missing.any():
            _refuse(missing, n_eligible, options, sources, sizes)
    return parts


def _refuse(
    missing: Indices, n_eligible: Indices, options: SplitOptions, sources: list[str], sizes: Indices
) -> None:
    place = int(np.argmax(missing))
    of = f" of {sources[place]}" if sources[place] else ""
    largest, n = int(sizes.max()), int(sizes.sum())
    what = (
        f"whole clusters are {missing[place]:,} of {n_eligible[place]:,} sequences{of} short of the amount "
        f"to hold out: the largest of {format_count(len(sizes), 'cluster')} holds {largest:,} of {n:,} "
        f"sequences ({largest / n:.0%})"
    )
    remedy = (
        f"Hold out fewer; or give a --max-identity above {options.max_identity:g} or a --min-coverage above "
        f"{options.min_coverage:g}, which make smaller clusters; or give --split identity"
    )
    raise DataError(what, where="--validation, --test", remedy=remedy)
