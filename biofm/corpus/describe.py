"""Description of a data set: counted block by block, then told in numbers.

Counting keeps sixteen bytes for each sequence and nothing of its letters.
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
    "held-out sequences whose relatives were not looked for: that is done letter by letter, and {units} are "
    "not single letters"
)

Lengths = NDArray[np.int64]
Hashes = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """``counts[i]`` values lie between ``edges[i]`` and ``edges[i + 1]``."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDescription:
    """One input in numbers. ``n_distinct`` of its sequences differ from each other, and ``n_elsewhere`` of
    these are in another input too. ``lengths`` are in residues, on edges that all inputs share.
    """

    name: str
    n_sequences: int
    n_residues: int
    n_distinct: int
    n_elsewhere: int
    lengths: Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """How many distinct sequences two inputs have in common."""

    sources: tuple[str, str]
    n_sequences: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A data set in numbers.

    quantiles: quantiles of the lengths in residues, by their names ("median", "95 %").
    units: what its sequences are made of, such as residues. standard: the units that models are judged on,
        such as "the 20 amino acids".
    letters: how often each token occurs that stands for a unit, the commonest first.
    n_unknown: units that are none of the standard ones.
    n_distinct: sequences that differ from each other, in all inputs together.
    split: the number of sequences in each part of the split; empty where there is none.
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
    """Counts of one input: the lengths and hashes of its sequences, and how often each token occurs."""

    def __init__(self, name: str, n_tokens: int) -> None:
        self.name = name
        self.counts = np.zeros(n_tokens, np.int64)
        self._lengths: list[NDArray[np.int64]] = []
        self._hashes: list[NDArray[np.uint64]] = []

    def add(
        self, tokens: NDArray[np.unsignedinteger], lengths: NDArray[np.int64], hashes: NDArray[np.uint64]
    ) -> None:
        self.counts += np.bincount(tokens, minlength=len(self.counts))
        self._lengths.append(lengths)
        self._hashes.append(hashes)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The length of each sequence in tokens."""
        return np.concatenate([np.empty(0, np.int64), *self._lengths])

    @property
    def distinct(self) -> NDArray[np.uint64]:
        """The hashes of the distinct sequences, ascending."""
        return np.unique(np.concatenate([np.empty(0, np.uint64), *self._hashes]))


def describe_store(store: Store, name: str, *, n_sampled: int, seed: int, progress: OnStage) -> Description:
    """Describe a prepared data set. ``n_sampled`` sequences of each held-out part are compared with the other
    parts, where relatives can be searched.
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
    """Describe inputs that were counted, and that hold a sequence at least."""
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
    """Return the edges of the bins of lengths: whole numbers, about equally far apart on a logarithmic scale.
    The last bin holds the longest.
    """
    low, high = max(1, int(lengths.min())), int(lengths.max()) + 1
    return np.unique(np.round(np.geomspace(low, max(high, low + 1), N_BINS + 1)))
