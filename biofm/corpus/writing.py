"""Writers of token stores: they stream the tokens of inputs into files, split the sequences and write the
record.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from biofm_datasets.progress import OnStage
from biofm_datasets.splits import label_sequences
from biofm_datasets.store import (
    Source,
    SplitRecord,
    Store,
    StoreRecord,
    StoreWriter,
    TokenStore,
    open_store,
)
from biofm_datasets.store.files import HASHES, KEYS

from biofm.core.errors import OptionError, OutputError, data_errors, input_errors
from biofm.corpus.leakage import check_split
from biofm.corpus.reading import BlockReader, Input, Reading
from biofm.modalities import Tokenizer

COMMIT_TOKENS = 1 << 25
"""Tokens between two commits: a killed run repeats at most these, which takes some seconds."""


@dataclass(slots=True)
class _Done:
    """Holds how far a commit goes.

    ``n_read`` counts the records of the unfinished input. ``ends`` holds for each finished input the numbers
    of sequences, tokens and units up to its end.
    """

    n_read: int = 0
    n_sequences: int = 0
    n_tokens: int = 0
    n_units: int = 0
    ends: list[list[int]] = field(default_factory=list)
    notices: dict[str, int] = field(default_factory=dict)


def write_store(
    inputs: Sequence[Input],
    reading: Reading,
    tokenizer: Tokenizer,
    folder: Path,
    progress: OnStage,
    *,
    resume: bool = False,
    anew: bool = False,
    when_begun: Callable[[int], None] = lambda n_before: None,
    when_read: Callable[[], None] = lambda: None,
) -> Store:
    """Write the inputs into a folder as a token store.

    A store holds what a model trains on: other columns of the records are not kept.

    Args:
        inputs: Opened files.
        reading: Options of reading and splitting.
        tokenizer: Turns sequences into tokens.
        folder: Folder of the store.
        progress: Called with the name of a stage, the work done and the whole work.
        resume: Whether to continue unfinished work in the folder.
        anew: Whether to discard unfinished work in the folder.
        when_begun: Called with the number of sequences that earlier work has written.
        when_read: Called after the last record was read. It may raise an error; no store exists yet.

    Raises:
        InputError: An input is faulty.
        OptionError: The sequences cannot be split as asked.
        OutputError: The folder cannot be written.
    """
    check_split(reading.split, tokenizer.alphabet)
    with data_errors(OutputError):
        writer = StoreWriter(
            folder, dtype_of(tokenizer), fingerprint_of(inputs, reading, tokenizer), resume=resume, anew=anew,
            has_keys=reading.split.needs_keys, has_values=tokenizer.has_values,
        )  # fmt: skip
    with writer:
        when_begun(writer.n_sequences)
        if not writer.is_sealed:
            stream_in(inputs, reading, tokenizer, writer, progress, when_read)
        if not writer.is_moving:
            split_and_record(inputs, reading, tokenizer, writer, progress)
        writer.publish()
    return open_store(folder)


def dtype_of(tokenizer: Tokenizer) -> str:
    """Return how a store's files name the type of their token numbers."""
    return f"U{8 * tokenizer.dtype.itemsize}"


def fingerprint_of(inputs: Sequence[Input], reading: Reading, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return everything that decides the sequences of a store and the keys of its split.

    The method of the split is left out, because it may change until the store is complete.
    """
    return {
        "inputs": ", ".join(item.name for item in inputs),
        "sha256": ", ".join(item.sha256 for item in inputs),
        "weights": ", ".join(str(item.weight) for item in inputs if item.weight is not None),
        "column": reading.column,
        "id column": reading.id_column,
        "gaps": reading.gaps,
        "alphabet": tokenizer.alphabet.sha256,
        "insisted": reading.modality is not None,
        "split column": reading.split.column,
        "split by groups": reading.split.method == "group",
    }


def request_digest(inputs: Sequence[Input], reading: Reading, tokenizer: Tokenizer) -> str:
    """Return the SHA-256 of everything that decides a store.

    Args:
        inputs: Opened files.
        reading: Options of reading and splitting.
        tokenizer: Turns sequences into tokens.
    """
    whole = fingerprint_of(inputs, reading, tokenizer) | {
        "split": asdict(reading.split),
        "on error": reading.on_error,
    }
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def stream_in(
    inputs: Sequence[Input],
    reading: Reading,
    tokenizer: Tokenizer,
    writer: StoreWriter,
    progress: OnStage,
    when_read: Callable[[], None],
) -> None:
    """Append the inputs to the store, starting at the last commit, and seal it."""
    done = _Done(**writer.state)
    notices = Counter(done.notices)
    reader = BlockReader(reading, [item.name for item in inputs], tokenizer, notices)
    sizes = [os.fstat(item.stream.fileno()).st_size for item in inputs]
    committed = done.n_tokens
    for number in range(len(done.ends), len(inputs)):
        stream, name = inputs[number].stream, inputs[number].name
        with input_errors():
            for block in reader.read(stream, name, done.n_read):
                writer.append(block.ids, block.tokens, block.lengths, block.keys, block.values)
                done.n_read = block.n_read
                done.n_sequences += len(block.lengths)
                done.n_tokens += len(block.tokens)
                done.n_units += block.n_units
                if done.n_tokens - committed >= COMMIT_TOKENS:
                    committed = done.n_tokens
                    done.notices = dict(notices)
                    writer.commit(asdict(done))
                progress("reading", sum(sizes[:number]) + min(stream.tell(), sizes[number]), sum(sizes))
        done.n_read = 0
        done.ends.append([done.n_sequences, done.n_tokens, done.n_units])
    when_read()
    done.notices = dict(notices)
    writer.commit(asdict(done))
    writer.seal()


def split_and_record(
    inputs: Sequence[Input],
    reading: Reading,
    tokenizer: Tokenizer,
    writer: StoreWriter,
    progress: OnStage,
) -> None:
    """Split the sequences and write the record of the store.

    Raises:
        OptionError: The sequences cannot be split as asked.
    """
    done = _Done(**writer.state)
    alphabet = tokenizer.alphabet
    keys = KEYS.stored(writer.work) if reading.split.needs_keys else None
    tokens, hashes = TokenStore.mapped(writer.work), HASHES.stored(writer.work)
    sources = _sources(inputs, done.ends)
    members = {source.name: slice(source.first, source.first + source.n_sequences) for source in sources}
    with data_errors(OptionError):
        labels = label_sequences(
            reading.split, tokens, alphabet, hashes, keys, members, writer.work, progress
        )
    split = SplitRecord(
        method=reading.split.method,
        parameters=reading.split.parameters() | labels.found,
        tool=labels.tool,
        counts=writer.write_split(labels.values),
    )
    record = StoreRecord(
        alphabet=alphabet, dtype=dtype_of(tokenizer), n_sequences=done.n_sequences, n_tokens=done.n_tokens,
        sources=sources, split=split, notices=done.notices | labels.notices, files=writer.files,
        gaps=reading.gaps,
        request=request_digest(inputs, reading, tokenizer),
    )  # fmt: skip
    writer.complete(record)


def _sources(inputs: Sequence[Input], ends: Sequence[Sequence[int]]) -> tuple[Source, ...]:
    starts = [[0, 0, 0], *ends[:-1]]
    return tuple(
        Source(
            name=item.name, sha256=item.sha256, weight=item.weight, first=start[0],
            n_sequences=end[0] - start[0], n_tokens=end[1] - start[1], n_units=end[2] - start[2],
        )
        for item, start, end in zip(inputs, starts, ends, strict=True)
    )  # fmt: skip
