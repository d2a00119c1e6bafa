"""Descriptions of data sets: sequences are counted block by block, and the counts are summed up in numbers.

Counting keeps sixteen bytes in memory for each sequence, and none of its letters.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from biofm_datasets.progress import OnStage
from biofm_datasets.store import PARTS, Alphabet, Store
from numpy.typing import NDArray

from biofm.corpus.leakage import Leakage, has_letters, measure_leakage

BLOCK_TOKENS = 1 << 22
QUANTILES = {
    "shortest": 0,
    "5 %": 0.05,
    "25 %": 0.25,
    "median": 0.5,
    "75 %": 0.75,
    "95 %": 0.95,
    "longest": 1,
}
N_BINS = 48
NOT_COMPARED = (
    "held-out sequences whose relatives were not searched: the search compares single letters, which "
    "{units} are not"
)

Lengths = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Holds how many values lie in each of a row of bins.

    Attributes:
        edges: Bounds of the bins, ascending; one more than there are bins.
        counts: Number of values in each bin. Bin i reaches from ``edges[i]`` up to ``edges[i + 1]``.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """Describes one input file in numbers.

    Attributes:
        name: Name of the file.
        n_sequences: Number of its sequences.
        n_residues: Number of residues (or other units) in all of them.
        n_distinct: Number of its sequences that differ from each other.
        n_elsewhere: How many of the distinct sequences are in another input too.
        lengths: Histogram of the lengths in residues. All inputs of a data set share the edges of the bins.
    """

    name: str
    n_sequences: int
    n_residues: int
    n_distinct: int
    n_elsewhere: int
    lengths: Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Counts the sequences that two inputs have in common.

    Attributes:
        sources: Names of the two inputs.
        n_sequences: Number of distinct sequences that are in both.
    """

    sources: tuple[str, str]
    n_sequences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Describes a data set in numbers.

    Attributes:
        name: Name of the data set.
        n_sequences: Number of sequences in all inputs.
        n_residues: Number of residues (or other units) in all of them.
        n_distinct: Number of sequences that differ from each other, over all inputs together.
        sources: Description of each input.
        quantiles: Quantiles of the lengths in residues by their names ("median", "95 %"), and their "mean".
        letters: Number of occurrences of each token that stands for a unit, the commonest first.
        n_unknown: Number of units that are none of the standard ones.
        units: Name of what the sequences are made of, for example "residues".
        standard: Name of the units that models are judged on, for example "the 20 amino acids".
        shared: Pairs of inputs that have sequences in common.
        split_method: Method of the split; empty without a split.
        split_tool: Program that computed the split, with its version; empty if biofm did.
        split: Number of sequences in each part of the split; empty without a split.
        leakage: Sequences of held-out parts that other parts hold too.
        notices: Sentences on what was changed or left out, each with its count.
    """

    name: str
    n_sequences: int
    n_residues: int
    n_distinct: int
    sources: tuple[SourceDescription, ...]
    quantiles: dict[str, float]
    letters: dict[str, int]
    n_unknown: int
    units: str
    standard: str
    shared: tuple[Shared, ...]
    split_method: str = ""
    split_tool: str = ""
    split: dict[str, int] = field(default_factory=dict)
    leakage: tuple[Leakage, ...] = ()
    notices: dict[str, int] = field(default_factory=dict)


class Tally:
    """Counts one input: the lengths and hashes of its sequences, and how often each token occurs.

    Args:
        name: Name of the input.
        n_tokens: Size of the vocabulary.
    """

    def __init__(self, name: str, n_tokens: int) -> None:
        self.name = name
        self.counts = np.zeros(n_tokens, np.int64)
        self._lengths: list[NDArray[np.int64]] = []
        self._hashes: list[NDArray[np.uint64]] = []

    def add(
        self, tokens: NDArray[np.unsignedinteger], lengths: NDArray[np.int64], hashes: NDArray[np.uint64]
    ) -> None:
        """Add a block of sequences to the counts.

        Args:
            tokens: Tokens of the sequences, laid one after the other.
            lengths: Length of each sequence in tokens.
            hashes: Hash of each sequence.
        """
        self.counts += np.bincount(tokens, minlength=len(self.counts))
        self._lengths.append(lengths)
        self._hashes.append(hashes)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The lengths in tokens, which belong to the sequences in their order."""
        return np.concatenate([np.empty(0, np.int64), *self._lengths])

    @property
    def distinct(self) -> NDArray[np.uint64]:
        """The hashes that differ from each other, in ascending order."""
        return np.unique(np.concatenate([np.empty(0, np.uint64), *self._hashes]))


def describe_store(store: Store, name: str, *, n_sampled: int, seed: int, progress: OnStage) -> Description:
    """Describe a prepared data set.

    Args:
        store: The opened store.
        name: Name of the data set in the description.
        n_sampled: Number of sequences of each held-out part whose relatives are searched in the other parts.
            0 searches none.
        seed: Seed of the choice of these sequences.
        progress: Called with the name of a stage, the work done and the whole work.
    """
    progress("counting", 0, 1)
    tallies = tally_store(store)
    found = describe_sources(tallies, store.record.alphabet, name, store.record.notices)
    if store.record.split.method == "none":
        return found
    leakage = measure_leakage(store, n_sampled=n_sampled, seed=seed, progress=progress)
    split = store.record.split
    counts = {part: split.counts[part] for part in PARTS}
    notices = found.notices
    if n_sampled and not has_letters(store.record.alphabet):
        notices = notices | {NOT_COMPARED.format(units=found.units): counts["validation"] + counts["test"]}
    return replace(
        found, split_method=split.method, split_tool=split.tool, split=counts, leakage=leakage,
        notices=notices,
    )  # fmt: skip


def describe_sources(
    tallies: Sequence[Tally], alphabet: Alphabet, name: str, notices: Mapping[str, int]
) -> Description:
    """Describe inputs that were counted. Together they hold at least one sequence.

    Args:
        tallies: Counts of each input.
        alphabet: Alphabet whose tokens were counted.
        name: Name of the data set in the description.
        notices: Sentences on what came up while the inputs were read, with counts.
    """
    lengths = [tally.lengths - alphabet.n_special for tally in tallies]
    distinct = [tally.distinct for tally in tallies]
    every = np.concatenate(lengths)
    letters = _letters(np.sum([tally.counts for tally in tallies], axis=0), alphabet)
    scored = {alphabet.tokens[number] for number in alphabet.scored}
    sources = [tally.name for tally in tallies]
    return Description(
        name=name,
        n_sequences=len(every),
        n_residues=int(every.sum()),
        n_distinct=len(np.unique(np.concatenate(distinct))),
        sources=_describe_each(sources, lengths, distinct),
        quantiles=_quantiles(every),
        letters=letters,
        n_unknown=sum(count for letter, count in letters.items() if letter not in scored),
        shared=tuple(_shared(sources, distinct)),
        units=alphabet.units,
        standard=f"the {len(alphabet.scored)} {alphabet.standard}",
        notices=dict(notices),
    )


def tally_store(store: Store) -> list[Tally]:
    """Count each source of a store."""
    offsets, tallies = store.tokens.offsets, []
    for source in store.record.sources:
        tally = Tally(source.name, len(store.record.alphabet.tokens))
        first, end = source.first, source.first + source.n_sequences
        while first < end:
            block = int(np.searchsorted(offsets, offsets[first] + BLOCK_TOKENS))
            last = min(max(block, first + 1), end)
            tokens = store.tokens.tokens[offsets[first] : offsets[last]]
            tally.add(tokens, store.tokens.lengths(slice(first, last)), store.hashes[first:last])
            first = last
        tallies.append(tally)
    return tallies


def _describe_each(
    names: Sequence[str], lengths: Sequence[Lengths], distinct: Sequence[Hashes]
) -> tuple[SourceDescription, ...]:
    edges = _edges(np.concatenate(lengths))
    found = []
    for i, name in enumerate(names):
        others = np.concatenate([np.empty(0, np.uint64), *distinct[:i], *distinct[i + 1 :]])
        counts, _ = np.histogram(lengths[i], edges)
        source = SourceDescription(
            name=name,
            n_sequences=len(lengths[i]),
            n_residues=int(lengths[i].sum()),
            n_distinct=len(distinct[i]),
            n_elsewhere=int(np.isin(distinct[i], others).sum()),
            lengths=Histogram(edges=tuple(edges.tolist()), counts=tuple(counts.tolist())),
        )
        found.append(source)
    return tuple(found)


def _shared(names: Sequence[str], distinct: Sequence[Hashes]) -> Iterator[Shared]:
    for a, b in combinations(range(len(names)), 2):
        if n := len(np.intersect1d(distinct[a], distinct[b], assume_unique=True)):
            yield Shared(sources=(names[a], names[b]), n_sequences=n)


def _letters(counts: NDArray[np.int64], alphabet: Alphabet) -> dict[str, int]:
    around = {alphabet.tokens[number] for number in (*alphabet.before, *alphabet.behind)}
    found = {token: int(count) for token, count in zip(alphabet.tokens, counts, strict=True) if count}
    return {
        token: found[token] for token in sorted(found, key=lambda token: -found[token]) if token not in around
    }


def _quantiles(lengths: Lengths) -> dict[str, float]:
    values = np.quantile(lengths, list(QUANTILES.values())).tolist()
    return dict(zip(QUANTILES, values, strict=True)) | {"mean": float(lengths.mean())}


def _edges(lengths: Lengths) -> NDArray[np.float64]:
    """Return the edges of the bins for these lengths: whole numbers, about equally far apart on a logarithmic
    scale. The longest sequence lies in the last bin.
    """
    low, high = max(1, int(lengths.min())), int(lengths.max()) + 1
    return np.unique(np.round(np.geomspace(low, max(high, low + 1), N_BINS + 1)))
