"""Finds proteins that may be related: spaced seeds in a reduced alphabet, extended along their diagonal.

A seed is a pattern of six positions; two sequences share it where all six letters fall into the same classes
of amino acids. Each shared seed is extended without gaps to both sides with BLOSUM62, and the pairs whose
best extension scores enough are candidates for an alignment.

Sources: spaced seeds, Ma, Tromp and Li 2002 (doi:10.1093/bioinformatics/18.3.440); the ten classes, Murphy,
Wallqvist and Levy 2000 (doi:10.1093/protein/13.3.149).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from Bio.Align import substitution_matrices
from numpy.typing import NDArray

from biofm_datasets.arrays import Indices

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
CLASSES = ("LVIM", "C", "A", "G", "ST", "P", "FYW", "EDNQ", "KR", "H")
SHAPES = (
    "11010111",
    "1101001011",
    "11100010011",
    "100110010011",
    "1011011001",
    "11101000011",
    "110000101011",
    "101100000111",
    "111011001",
    "1100110101",
    "110100010101",
    "1110000010011",
)

UNKNOWN = len(AMINO_ACIDS)
CORE = 14
"""The residues scored at once from a seed's first position: at least as many as the longest shape has."""
REACH = 24
"""The residues by which an extension can exceed the core, on either side."""
GAP = CORE + REACH + 2
"""The unknown residues between sequences, so that no seed and no extension runs into a neighbour."""
MIN_CORE_SCORE = 18
"""The least BLOSUM62 score of a core that is extended."""
MIN_SCORE = 42
"""The least BLOSUM62 score of core and extensions that makes a pair a candidate."""
COMMON_SEED_COUNT, COMMON_SEED_SHARE = 400, 1e-3
"""A seed at more places of the queries than this number and this share has low complexity and is skipped."""
CHUNK_RESIDUES = 1 << 15


@dataclass(frozen=True, slots=True)
class Residues:
    """Holds many sequences in one array: 0-19 for the amino acids in order, UNKNOWN for all else."""

    codes: NDArray[np.uint8]
    starts: Indices
    lengths: Indices


@dataclass(frozen=True, slots=True)
class Candidates:
    """Holds pairs that may be related, each with its best seed: its place in both sequences and its score."""

    target: Indices
    query: Indices
    target_at: Indices
    query_at: Indices
    score: Indices

    def take(self, chosen: Indices | NDArray[np.bool_] | slice) -> "Candidates":
        """Return the chosen pairs, in the given order."""
        return Candidates(
            self.target[chosen],
            self.query[chosen],
            self.target_at[chosen],
            self.query_at[chosen],
            self.score[chosen],
        )


def encode(sequences: Sequence[str]) -> Residues:
    """Join sequences into one array of residue codes. Only the 20 upper-case letters are known."""
    table = np.full(256, UNKNOWN, np.uint8)
    table[np.frombuffer(AMINO_ACIDS.encode(), np.uint8)] = np.arange(UNKNOWN, dtype=np.uint8)
    joined = ("." * GAP).join(["", *sequences, ""]).encode("ascii", "replace")
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    starts = np.cumsum(lengths + GAP) - lengths
    return Residues(table[np.frombuffer(joined, np.uint8)], starts, lengths)


def find_candidates(queries: Residues, targets: Residues, progress: Callable[[int, int], None]) -> Candidates:
    """Find the pairs with an ungapped BLOSUM62 score of at least MIN_SCORE around a shared seed.

    ``progress`` is called with the number of residues done and their total.
    """
    extender = _Extender(queries.codes, targets.codes)
    n_residues = len(targets.codes)
    best = _join([])
    for shape_number, shape in enumerate(SHAPES):
        index = _SeedIndex(queries.codes, shape)
        found = [best]
        for begin in range(0, n_residues, CHUNK_RESIDUES):
            target_at, query_at = index.find_hits(targets.codes, begin, begin + CHUNK_RESIDUES)
            target_at, query_at, score = extender.extend(target_at, query_at)
            found.append(_best_of_pair(_name_pairs(targets, target_at, queries, query_at, score)))
            done = min(begin + CHUNK_RESIDUES, n_residues)
            progress(shape_number * n_residues + done, len(SHAPES) * n_residues)
        best = _best_of_pair(_join(found))
    return best


class _SeedIndex:
    """Knows where each seed of one shape lies among the queries."""

    def __init__(self, codes: NDArray[np.uint8], shape: str) -> None:
        self.offsets = tuple(position for position, mark in enumerate(shape) if mark == "1")
        seeds = _seed_numbers(codes, self.offsets)
        known = np.flatnonzero(seeds >= 0)
        counts = np.bincount(seeds[known], minlength=len(CLASSES) ** len(self.offsets))
        self.places = known[np.argsort(seeds[known], kind="stable")]
        self.first = np.cumsum(counts) - counts
        most = max(COMMON_SEED_COUNT, COMMON_SEED_SHARE * len(known))
        self.counts = np.where(counts > most, 0, counts)

    def find_hits(self, codes: NDArray[np.uint8], begin: int, end: int) -> tuple[Indices, Indices]:
        """Return all pairs of places (target, query) that share a seed beginning in codes[begin:end]."""
        seeds = _seed_numbers(codes[begin : end + max(self.offsets)], self.offsets)
        target_at = np.flatnonzero(seeds >= 0)
        seeds = seeds[target_at]
        counts = self.counts[seeds]
        # Hit n, the k-th of its seed, is place first[seed] + k, which is n + (first[seed] - n at k = 0).
        shift = np.repeat(self.first[seeds] - (np.cumsum(counts) - counts), counts)
        return np.repeat(target_at + begin, counts), self.places[np.arange(len(shift)) + shift]


def _seed_numbers(codes: NDArray[np.uint8], offsets: Sequence[int]) -> NDArray[np.int32]:
    """Return the seed that begins at each place: one decimal digit a class, or -1 if a residue is unknown."""
    digits = np.array([_class_of(letter) for letter in AMINO_ACIDS] + [0], dtype=np.int32)[codes]
    unknown = codes == UNKNOWN
    n_places = max(len(codes) - max(offsets), 0)
    seeds = np.zeros(n_places, np.int32)
    is_unknown = np.zeros(n_places, np.bool_)
    for offset in offsets:
        seeds *= len(CLASSES)
        seeds += digits[offset : offset + n_places]
        is_unknown |= unknown[offset : offset + n_places]
    seeds[is_unknown] = -1
    return seeds


def _class_of(letter: str) -> int:
    return next(number for number, letters in enumerate(CLASSES) if letter in letters)


def substitution_scores() -> NDArray[np.int8]:
    """Return BLOSUM62 over residue codes, shape (21, 21); an unknown residue scores -8 with any."""
    matrix = substitution_matrices.load("BLOSUM62")
    table = np.full((UNKNOWN + 1, UNKNOWN + 1), -8, np.int8)
    table[:UNKNOWN, :UNKNOWN] = [[matrix[a, b] for b in AMINO_ACIDS] for a in AMINO_ACIDS]
    return table


class _Extender:
    """Scores hits along their diagonal, two residues a step, which halves the look-ups."""

    def __init__(self, queries: NDArray[np.uint8], targets: NDArray[np.uint8]) -> None:
        n = UNKNOWN + 1
        self.queries = queries[:-1].astype(np.int32) * n + queries[1:]
        self.targets = (targets[:-1].astype(np.int32) * n + targets[1:]) << 9
        first, second = np.divmod(np.arange(n * n), n)
        one = substitution_scores()
        scores = np.zeros((512, 512), np.int8)
        scores[: n * n, : n * n] = one[np.ix_(first, first)] + one[np.ix_(second, second)]
        self.scores = scores.ravel()

    def extend(self, target_at: Indices, query_at: Indices) -> tuple[Indices, Indices, Indices]:
        """Return the hits whose core, extended to both sides as far as it raises the score, scores at least
        MIN_SCORE.
        """
        core = np.zeros(len(target_at), np.int16)
        for offset in range(0, CORE, 2):
            core += self._step(target_at, query_at, offset)
        strong = np.flatnonzero(core >= MIN_CORE_SCORE)
        target_at, query_at, score = target_at[strong], query_at[strong], core[strong]
        score += self._best_run(target_at, query_at, range(CORE, CORE + REACH, 2))
        score += self._best_run(target_at, query_at, range(-2, -2 - REACH, -2))
        enough = score >= MIN_SCORE
        return target_at[enough], query_at[enough], score[enough].astype(np.int64)

    def _step(self, target_at: Indices, query_at: Indices, offset: int) -> NDArray[np.int8]:
        # take(mode="clip") is twice as fast as indexing; the gaps keep every place inside.
        target = self.targets.take(target_at + offset, mode="clip")
        query = self.queries.take(query_at + offset, mode="clip")
        return self.scores.take(target | query, mode="clip")

    def _best_run(self, target_at: Indices, query_at: Indices, offsets: Iterable[int]) -> NDArray[np.int16]:
        run = np.zeros(len(target_at), np.int16)
        best = run.copy()
        for offset in offsets:
            run += self._step(target_at, query_at, offset)
            np.maximum(best, run, out=best)
        return best


def _name_pairs(
    targets: Residues, target_at: Indices, queries: Residues, query_at: Indices, score: Indices
) -> Candidates:
    target = np.searchsorted(targets.starts, target_at, side="right") - 1
    query = np.searchsorted(queries.starts, query_at, side="right") - 1
    return Candidates(target, query, target_at, query_at, score)


def _best_of_pair(hits: Candidates) -> Candidates:
    """Return one hit for each pair: the one with the highest score, and among equals the first in the
    sequences.
    """
    order = np.lexsort((hits.query_at, hits.target_at, -hits.score, hits.query, hits.target))
    target, query = hits.target[order], hits.query[order]
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (target[1:] != target[:-1]) | (query[1:] != query[:-1])
    return hits.take(order[is_first])


def _join(parts: Sequence[Candidates]) -> Candidates:
    names = ("target", "query", "target_at", "query_at", "score")
    empty = np.zeros(0, np.int64)
    return Candidates(*(np.concatenate([empty, *(getattr(part, name) for part in parts)]) for name in names))
