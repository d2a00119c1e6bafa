"""Survey: count in one pass what an input holds, and draw a random sample of it."""

import random
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biofm.inference.embed import Embedder
from biofm.inference.windows import pieces
from biofm.modalities import Item

N_SAMPLED = 2000
"""How many records are drawn. Of those with equal sequences, all but one are then dropped."""
SEED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """Holds the counts of an input, and a sample of it.

    Attributes:
        n_sequences: How many records there are.
        n_unique: How many different sequences there are, each of which is embedded once.
        n_residues: How many residues all records have together.
        unique_residues: How many residues the different sequences have together.
        n_tokens: How many tokens the model runs for the different sequences, overlaps of windows included.
        longest: Length of the longest record in residues.
        id_bytes: Size of all ids in UTF-8.
        longest_id: Length of the longest id in characters.
        cell_bytes: Size of all cells of further columns: UTF-8 for a text, 8 bytes for a number.
        sample: Different sequences, drawn at random; all are equally likely.
    """

    n_sequences: int
    n_unique: int
    n_residues: int
    unique_residues: int
    n_tokens: int
    longest: int
    id_bytes: int
    longest_id: int
    cell_bytes: int
    sample: list[Item]


def survey(items: Iterable[Item], embedder: Embedder) -> Survey:
    """Count the items for a run of ``embedder``.

    Takes 16 bytes of memory for each item, and three times as much at the end: half a GB for ten million
    items.
    """
    draw = random.Random(SEED)
    digests, lengths = array("Q"), array("Q")
    sample: list[tuple[int, Item]] = []
    id_bytes = longest_id = cell_bytes = 0
    for place, item in enumerate(items):
        digests.append(int.from_bytes(item.key[:8], "little"))
        lengths.append(item.n_units)
        id_bytes += len(item.id.encode())
        longest_id = max(longest_id, len(item.id))
        cell_bytes += sum(len(it.encode()) if isinstance(it, str) else 8 for it in item.columns.values())
        slot = place if place < N_SAMPLED else draw.randrange(place + 1)
        if slot == len(sample):
            sample.append((place, item))
        elif slot < N_SAMPLED:
            sample[slot] = (place, item)
    residues = _array(lengths)
    first = np.sort(np.unique(_array(digests), return_index=True)[1])
    different, counts = (found.tolist() for found in np.unique(residues[first], return_counts=True))
    return Survey(
        n_sequences=len(residues),
        n_unique=len(first),
        n_residues=int(residues.sum()),
        unique_residues=int(residues[first].sum()),
        n_tokens=sum(n * _n_tokens(length, embedder) for length, n in zip(different, counts, strict=True)),
        longest=int(residues.max(initial=0)),
        id_bytes=id_bytes,
        longest_id=longest_id,
        cell_bytes=cell_bytes,
        sample=[item for place, item in sample if _holds(first, place)],
    )


def _n_tokens(n_residues: int, embedder: Embedder) -> int:
    """Count the tokens that the model runs for a sequence of this length, with overlaps of its windows."""
    tokens = np.zeros(n_residues + embedder.tokenizer.n_special, embedder.tokenizer.dtype)
    window = embedder.options.window
    return sum(len(piece.tokens) for piece in pieces(0, tokens, window, embedder.tokenizer))


def _array(numbers: "array[int]") -> NDArray[np.uint64]:
    """Return the numbers as an array that shares their memory."""
    return np.frombuffer(numbers, np.uint64)


def _holds(ordered: NDArray[np.int64], place: int) -> bool:
    """Return whether an ascending array holds the number ``place``."""
    at = np.searchsorted(ordered, place)
    return bool(at < len(ordered) and ordered[at] == place)
