"""An embedding run: the records of an input go, chunk by chunk, through the model into a journal.

Each chunk is on the disk before the next one begins. However the process ends, a later one goes on from
there, and the journal becomes the same, bit by bit, as that of a run that was never stopped.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import torch

from biofm.core import Progress
from biofm.core.journal import Entry, Fields, Journal
from biofm.core.outputs import ProvenanceFields, is_empty, is_own_name
from biofm.core.tables import RENAMED, kept_apart
from biofm.inference.embed import Embedder
from biofm.inference.runs.intake import Intake, Meter
from biofm.inference.runs.shards import Shard
from biofm.modalities import Item


class Totals(NamedTuple):
    """A digest of all records of an input, and how many sequences and residues a share of it holds."""

    digest: str
    n_sequences: int
    n_residues: int


def fingerprint(embedder: Embedder, provenance: ProvenanceFields, shard: Shard) -> Fields:
    """Everything besides the input that decides the bits of the values.

    The name of the model is left out, since its weights decide. The number of threads is there, since other
    threads sum in another order.
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
    """Embed the records of ``shard`` that ``journal`` does not hold yet; returns how many tokens that took.

    The journal has begun. It counts over all sessions of the run: "tokens" that went through the model, and
    "residues" of the records and how many records are "empty". ``where`` names the input in messages. Raises
    InputError where the records that are done are no longer those of the input, and ModelError or OptionError
    as ``Embedder.embed_new`` does; the chunks before are kept.
    """
    whole = _WholeInput(notices)
    meter = Meter(progress, intake, shard, journal.counts["residues"])

    def own_items() -> Iterator[Item]:
        for item in embedder.tokenise(intake, notices):
            whole.add(item)
            if shard.holds(item.key):
                yield item

    not_done = journal.remaining(own_items(), _identity, where)
    for chunk in embedder.chunks(not_done):
        meter.begin_chunk()
        known = journal.known({item.key for item in chunk})
        new = embedder.embed_new(chunk, known, meter.on_batch)
        n_residues = sum(item.n_units for item in chunk)
        n_empty = sum(item.key in new and is_empty(new[item.key]) for item in chunk)
        counts = {"tokens": meter.n_chunk_tokens, "residues": n_residues, "empty": n_empty}
        journal.commit(_entries(chunk, whole.names), new, counts)
        meter.end_chunk(n_residues)
    journal.finish({"n_records": whole.n_records, "digest": whole.digest, "notices": dict(notices)})
    return meter.n_tokens


def read_through(embedder: Embedder, intake: Intake, shard: Shard, notices: Counter[str]) -> Totals:
    """Read the input as ``embed_to_journal`` does, and embed nothing."""
    whole = _WholeInput(notices)
    n_sequences = n_residues = 0
    for item in embedder.tokenise(intake, notices):
        whole.add(item)
        if shard.holds(item.key):
            n_sequences += 1
            n_residues += item.n_units
    return Totals(whole.digest, n_sequences, n_residues)


class _WholeInput:
    """What is known of the input at its end, its other shards included.

    ``n_records``: how many there are. ``names``: what the output calls each column of the input; a column
    that has to change its name is counted in ``notices``.
    """

    def __init__(self, notices: Counter[str]) -> None:
        self.n_records = 0
        self.names: Mapping[str, str] = {}
        self._notices = notices
        self._digest = blake2b(digest_size=16)

    def add(self, item: Item) -> None:
        """Take in the next record. The first one has the columns of all."""
        if not self.n_records and item.columns:
            own = {name for name in item.columns if is_own_name(name)}
            apart = kept_apart({name: name for name in item.columns}, own)
            self.names = {name: other for other, name in apart.items()}
            if n_renamed := sum(name != other for name, other in self.names.items()):
                self._notices[RENAMED] = n_renamed
        self.n_records += 1
        self._digest.update(_identity(item))

    @property
    def digest(self) -> str:
        """A digest of all records, by which two inputs are compared."""
        return self._digest.hexdigest()


def _entries(chunk: Sequence[Item], names: Mapping[str, str]) -> list[Entry]:
    return [Entry(item.number, _payload(item, names), [item.key], _identity(item)) for item in chunk]


def _payload(item: Item, names: Mapping[str, str]) -> list[Any]:
    """What the output says of a record: id, number, length and, if there are some, its columns."""
    columns = {other: item.columns[name] for name, other in names.items()}
    return [item.id, item.record, item.n_units, *([columns] if columns else [])]


def _identity(item: Item) -> bytes:
    """Everything that makes it this record of the input."""
    of_values = b"" if item.values is None else item.values.tobytes()
    of_columns = json.dumps(dict(item.columns), sort_keys=True).encode() if item.columns else b""
    return f"{item.number}\n{item.id}\n{item.text}\n".encode() + of_values + of_columns
