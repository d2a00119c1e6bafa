"""From records to a journal: each chunk is computed, committed and done, whatever happens after it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import torch

from biofm.core import Progress
from biofm.core.journal import Entry, Fields, Journal
from biofm.core.outputs import ProvenanceFields, is_empty, is_own_name
from biofm.core.tables import RENAMED, kept_apart
from biofm.inference.embed import Embedder
from biofm.inference.intake import Intake
from biofm.inference.shards import Shard
from biofm.modalities import Item


def fingerprint(embedder: Embedder, provenance: ProvenanceFields, shard: Shard) -> Fields:
    """All that decides the bits of the values, the input left out. A model may change its name, not its
    weights; another number of threads sums in another order.
    """
    how = {name: value for name, value in provenance.items() if name != "model"}
    return how | {
        "verb": "embed",
        "d_model": embedder.config.d_model,
        "tokens_per_batch": embedder.tokens_per_batch,
        "threads": torch.get_num_threads() if embedder.device.type == "cpu" else 0,
        "shard": str(shard),
    }


def embed_to_journal(
    embedder: Embedder,
    intake: Intake,
    journal: Journal,
    shard: Shard,
    where: str,
    notices: Counter[str],
    progress: Progress,
) -> int:
    """Embed what ``journal``, which has begun, does not hold yet; returns how many tokens that took.

    What it counts is of all its sessions: "tokens" that went through the model, "residues" of the records,
    and those that are "empty". Raises InputError: the records that are done already are no longer what they
    were. ModelError or OptionError: as ``Embedder.embed_new``; the chunks before are kept.
    """
    reading = _Reading(embedder.tokenise(intake, notices), notices)
    own = (item for item in reading if shard.holds(item.key))
    meter = _Meter(progress, intake, shard, journal.counts["residues"])
    for chunk in embedder.chunks(journal.remaining(own, _identity, where)):
        meter.begin()
        known = journal.known({item.key for item in chunk})
        new = embedder.embed_new(chunk, known, meter.on_batch)
        n_residues = sum(item.n_units for item in chunk)
        n_empty = sum(item.key in new and is_empty(new[item.key]) for item in chunk)
        counts = {"tokens": meter.n_chunk_tokens, "residues": n_residues, "empty": n_empty}
        journal.commit(_entries(chunk, reading.names), new, counts)
        meter.end(n_residues)
    journal.finish({"n_records": reading.n_read, "digest": reading.digest, "notices": dict(notices)})
    return meter.n_tokens


class Totals(NamedTuple):
    """What an input holds: a digest of all its records; sequences and residues of a share of it."""

    digest: str
    n_sequences: int
    n_residues: int


def read_through(embedder: Embedder, intake: Intake, shard: Shard, notices: Counter[str]) -> Totals:
    """Read the input as ``embed_to_journal`` does, and embed nothing."""
    reading = _Reading(embedder.tokenise(intake, notices), notices)
    n_sequences = n_residues = 0
    for item in reading:
        if shard.holds(item.key):
            n_sequences += 1
            n_residues += item.n_units
    return Totals(reading.digest, n_sequences, n_residues)


class _Reading:
    """Passes items on; at the end knows how many there were, and a digest by which to compare inputs.

    ``names``: what the output calls the columns of the items.
    """

    def __init__(self, items: Iterable[Item], notices: Counter[str]) -> None:
        self._items = items
        self._notices = notices
        self.names: Mapping[str, str] = {}
        self._digest = blake2b(digest_size=16)
        self.n_read = 0

    def __iter__(self) -> Iterator[Item]:
        for item in self._items:
            if not self.n_read and item.columns:
                self.names = _names_apart(item.columns)
                if n_renamed := sum(name != other for name, other in self.names.items()):
                    self._notices[RENAMED] = n_renamed
            self.n_read += 1
            self._digest.update(_identity(item))
            yield item

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()


class _Meter:
    """Tells the progress how far the work is: ``n_residues`` of the input were done before this session."""

    def __init__(self, progress: Progress, intake: Intake, shard: Shard, n_residues: int) -> None:
        self._progress = progress
        self._intake = intake
        self._shard = shard
        self._n_residues = n_residues
        self._has_begun = False
        self.n_tokens = 0

    def begin(self) -> None:
        """A chunk begins; before the first, all that was done already has been read."""
        self.n_chunk_tokens = self._n_chunk_residues = 0
        if not self._has_begun:
            self._has_begun = True
            self._progress.start_from(self._fraction())

    def on_batch(self, n_tokens: int, n_residues: int) -> None:
        self.n_tokens += n_tokens
        self.n_chunk_tokens += n_tokens
        self._n_chunk_residues += n_residues
        self._progress.update(tokens=self.n_tokens, fraction=self._fraction())

    def end(self, n_residues: int) -> None:
        """The chunk is done: so many residues, with those that had been computed before."""
        self._n_chunk_residues = 0
        self._n_residues += n_residues
        self._progress.update(tokens=self.n_tokens, fraction=self._fraction())

    def _fraction(self) -> float | None:
        return self._intake.share_of(self._shard.n * (self._n_residues + self._n_chunk_residues))


def _names_apart(names: Iterable[str]) -> dict[str, str]:
    """What an output calls these columns, of which some stores may have others of the same name."""
    own = {name for name in names if is_own_name(name)}
    apart = kept_apart({name: name for name in names}, own)
    return {name: other for other, name in apart.items()}


def _entries(chunk: Sequence[Item], names: Mapping[str, str]) -> list[Entry]:
    return [Entry(item.number, _payload(item, names), [item.key], _identity(item)) for item in chunk]


def _payload(item: Item, names: Mapping[str, str]) -> list[Any]:
    """What ``to_store`` reads; the columns are there where the records have some."""
    columns = {other: item.columns[name] for name, other in names.items()}
    return [item.id, item.record, item.n_units, *([columns] if columns else [])]


def _identity(item: Item) -> bytes:
    of_values = b"" if item.values is None else item.values.tobytes()
    of_columns = json.dumps(dict(item.columns), sort_keys=True).encode() if item.columns else b""
    return f"{item.number}\n{item.id}\n{item.text}\n".encode() + of_values + of_columns
