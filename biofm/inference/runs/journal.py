"""An embedding run sends the records of an input, chunk by chunk, through the model into a journal.

Each chunk is on the disk before the next one begins. However the process ends, a later one continues from
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
    """Holds the counts of a shard, and a digest of its whole input.

    Attributes:
        digest: A digest of all records of the input, in hexadecimal digits.
        n_sequences: How many sequences the shard has.
        n_residues: How many residues these have together.
    """

    digest: str
    n_sequences: int
    n_residues: int


def fingerprint(embedder: Embedder, provenance: ProvenanceFields, shard: Shard) -> Fields:
    """Return everything besides the input that decides the bits of the embeddings.

    The name of the model is left out, because its weights decide. The number of threads is included, because
    it decides the order of sums.

    Args:
        embedder: The embedder of the run.
        provenance: How the embeddings are made.
        shard: The part of the input that the run embeds.
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
    """Embed the records of a shard that the journal does not hold yet, and return how many tokens that took.

    Over all sessions of the run, the journal counts the "tokens" that the model processed, the "residues" of
    the records, and how many records are "empty" because the model's numbers are not finite.

    Args:
        embedder: The embedder of the run.
        intake: The records of the whole input.
        journal: The journal of the run, which has begun.
        shard: The part of the input to embed.
        where: The name of the input, for messages.
        notices: Counts what a reader of the embeddings should know.
        progress: Shows how far the run is.

    Raises:
        InputError: A record is at fault, or records that the journal holds have changed in the input.
        ModelError: The model's weights are not finite. The chunks before are kept.
        OptionError: The numbers overflow in this dtype, or a batch is too large for the memory. The chunks
            before are kept.
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
    """Read the input as ``embed_to_journal`` does, and embed nothing.

    Args:
        embedder: The embedder of the run, which checks each record.
        intake: The records of the whole input.
        shard: The part of the input to count.
        notices: Counts what a reader of the embeddings should know.

    Raises:
        InputError: A record is at fault.
    """
    whole = _WholeInput(notices)
    n_sequences = n_residues = 0
    for item in embedder.tokenise(intake, notices):
        whole.add(item)
        if shard.holds(item.key):
            n_sequences += 1
            n_residues += item.n_units
    return Totals(whole.digest, n_sequences, n_residues)


class _WholeInput:
    """Collects what is known of the whole input at its end, other shards included.

    ``n_records`` counts its records. ``names`` says what the output calls each column of the input; a column
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
        """A digest of all records so far, which tells whether two inputs are the same."""
        return self._digest.hexdigest()


def _entries(chunk: Sequence[Item], names: Mapping[str, str]) -> list[Entry]:
    return [Entry(item.number, _payload(item, names), [item.key], _identity(item)) for item in chunk]


def _payload(item: Item, names: Mapping[str, str]) -> list[Any]:
    """Return what the output says of a record: id, number, length and, if there are some, its columns."""
    columns = {other: item.columns[name] for name, other in names.items()}
    return [item.id, item.record, item.n_units, *([columns] if columns else [])]


def _identity(item: Item) -> bytes:
    """Return everything that makes this record of the input differ from others, as bytes."""
    of_values = b"" if item.values is None else item.values.tobytes()
    of_columns = json.dumps(dict(item.columns), sort_keys=True).encode() if item.columns else b""
    return f"{item.number}\n{item.id}\n{item.text}\n".encode() + of_values + of_columns
