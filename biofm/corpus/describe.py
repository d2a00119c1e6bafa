"""From counts to a description."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from biofm_datasets.progress import OnStage
from biofm_datasets.store import PARTS, Alphabet, Store
from numpy.typing import NDArray

from biofm.corpus.description import Description, Histogram, Shared, SourceDescription
from biofm.corpus.leakage import measure_leakage
from biofm.corpus.relatives import has_letters
from biofm.corpus.tally import Tally, tally_store

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


def describe_store(store: Store, name: str, *, n_sampled: int, seed: int, progress: OnStage) -> Description:
    """A prepared data set; ``n_sampled`` sequences of each held-out part are compared with the other parts,
    where relatives can be found.
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
    """Inputs that were counted. They hold a sequence at least."""
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
    """Whole numbers, about equally far apart on a log scale; the last bin holds the longest."""
    low, high = max(1, int(lengths.min())), int(lengths.max()) + 1
    return np.unique(np.round(np.geomspace(low, max(high, low + 1), N_BINS + 1)))
