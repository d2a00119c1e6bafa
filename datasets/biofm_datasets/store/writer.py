"""Writes a store as a stream, in constant memory, so that a killed run can be resumed."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.arrays import Hashes, Indices, Tokens, Values
from biofm_datasets.errors import DataError
from biofm_datasets.store.files import (
    ALL_FILES,
    HASHES,
    ID_OFFSETS,
    IDS,
    KEYS,
    OFFSETS,
    PARTS,
    RECORD,
    SPLIT,
    STREAMED,
    TOKENS,
    VALUES,
    TensorFile,
)
from biofm_datasets.store.record import FileRecord, StoreRecord, spell_record
from biofm_datasets.store.tensor_file import TensorWriter
from biofm_datasets.store.unfinished import Unfinished, write_whole
from biofm_datasets.text import format_count

SPLIT_BLOCK = 1 << 16
"""The number of sequences whose parts are written at once."""


class StoreWriter:
    """Writes a store into a folder.

    Until ``publish`` everything lies in the folder's ``.unfinished``, and a store that the folder already
    holds stays as it is.

        with StoreWriter(folder, "U8", fingerprint, resume=True) as writer:
            if not writer.is_sealed:
                ...                                        # skip what writer.state says is done
                writer.append(ids, tokens, lengths)
                writer.commit({"n_read": 7})
                writer.seal()
            if not writer.is_moving:
                counts = writer.write_split(labels)
                writer.complete(record)
            writer.publish()

    A commit brings the appended sequences to the disk, with the state that the caller gives. After a kill, a
    writer of the same fingerprint continues from the last commit, and the files become the same, byte by
    byte. An error other than an interruption discards a run with only one commit.

    Args:
        folder: The folder, which exists.
        dtype: The dtype of the tokens: U8, U16 or U32.
        fingerprint: The settings of the work; work with other settings is not continued.
        resume: Whether to continue unfinished work.
        anew: Whether to discard unfinished work.
        has_keys: Whether a number is kept for each sequence until the store is published.
        has_values: Whether each token comes with a number.

    Raises:
        DataError: See ``Unfinished``.
    """

    def __init__(
        self,
        folder: Path,
        dtype: str,
        fingerprint: Mapping[str, Any],
        *,
        resume: bool = False,
        anew: bool = False,
        has_keys: bool = False,
        has_values: bool = False,
    ) -> None:
        assert dtype in TOKENS.dtypes
        self.folder = folder
        self._dtypes = {file: dtype if file is TOKENS else file.dtypes[0] for file in STREAMED}
        if has_keys:
            self._dtypes[KEYS] = KEYS.dtypes[0]
        if has_values:
            self._dtypes[VALUES] = VALUES.dtypes[0]
        self._unfinished = Unfinished(folder, fingerprint, resume=resume, anew=anew)
        self.work = self._unfinished.path
        self._n_before, self._n_commits = self.n_sequences, 0
        with ExitStack() as opened:
            opened.callback(self._unfinished.close)
            self._streams = {} if self.is_sealed else self._open_streams(opened)
            self._opened = opened.pop_all()

    @property
    def state(self) -> dict[str, Any]:
        """The state that the last commit was given; it is empty before the first."""
        return dict(self._unfinished.progress["state"])

    @property
    def n_sequences(self) -> int:
        """The number of sequences that are committed."""
        return int(self._unfinished.progress["n_bytes"].get(HASHES.tensor, 0)) // HASHES.itemsize

    @property
    def is_sealed(self) -> bool:
        """Whether all sequences are written."""
        return bool(self._unfinished.progress["sums"])

    @property
    def is_moving(self) -> bool:
        """Whether ``publish`` has begun, and nothing else is left to do."""
        return self.is_sealed and not (self.work / TOKENS.name).exists()

    @property
    def files(self) -> dict[str, FileRecord]:
        """The sizes and checksums that finished files have."""
        sums = self._unfinished.progress["sums"]
        return {
            name: FileRecord(n_bytes=sums[name][0], data_sha256=sums[name][1])
            for name in ALL_FILES
            if name in sums
        }

    def append(
        self,
        ids: Sequence[str],
        tokens: Tokens,
        lengths: Indices,
        keys: Hashes | None = None,
        values: Values | None = None,
    ) -> None:
        """Add sequences.

        Args:
            ids: The id of each sequence.
            tokens: The tokens of all sequences, one after the other.
            lengths: The number of tokens of each sequence.
            keys: The number to keep for each sequence.
            values: One number for each token.
        """
        texts = [id_.encode() for id_ in ids]
        self._append_ends(OFFSETS, self._streams[TOKENS], lengths)
        self._streams[TOKENS].append(tokens)
        self._append_ends(ID_OFFSETS, self._streams[IDS], np.fromiter(map(len, texts), np.int64, len(texts)))
        self._streams[IDS].append(np.frombuffer(b"".join(texts), np.uint8))
        self._streams[HASHES].append(hash_sequences(tokens, lengths, values))
        if values is not None:
            assert len(values) == len(tokens), "one value a token"
            self._streams[VALUES].append(values)
        if keys is not None:
            self._streams[KEYS].append(keys)

    def commit(self, state: Mapping[str, Any]) -> None:
        """Bring all sequences so far to the disk.

        Args:
            state: What the caller needs to continue from here.
        """
        for stream in self._streams.values():
            stream.sync()
        n_bytes = {file.tensor: stream.n_bytes for file, stream in self._streams.items()}
        self._unfinished.remember(n_bytes=n_bytes, state=dict(state))
        self._n_commits += 1

    def seal(self) -> None:
        """Finish the files of the sequences, all of which are committed."""
        sums = {
            file.name: stream.finish({file.tensor: stream.n_values}) for file, stream in self._streams.items()
        }
        self._unfinished.remember(sums=sums)

    def write_split(self, labels: NDArray[np.uint8]) -> dict[str, int]:
        """Write the parts of the split and return how many sequences each has.

        Args:
            labels: The part of each sequence, as its place in ``PARTS``.
        """
        counts = {part: int(np.count_nonzero(labels == number)) for number, part in enumerate(PARTS)}
        stream = TensorWriter(self.work / SPLIT, "I64")
        self._opened.callback(stream.close)
        for number in range(len(PARTS)):
            for begin in range(0, len(labels), SPLIT_BLOCK):
                stream.append(begin + np.flatnonzero(labels[begin : begin + SPLIT_BLOCK] == number))
        self._unfinished.remember(sums=self._unfinished.progress["sums"] | {SPLIT: stream.finish(counts)})
        return counts

    def complete(self, record: StoreRecord) -> None:
        """Write the record of the store, after all other files.

        Args:
            record: The record.
        """
        write_whole(self.work / RECORD, spell_record(record))

    def publish(self) -> None:
        """Move the store to its place: the record last, because it makes the folder a store."""
        assert self.is_moving or (self.work / RECORD).exists(), "complete comes first"
        if (self.work / RECORD).exists():
            (self.folder / RECORD).unlink(missing_ok=True)
            for name in ALL_FILES:
                if (self.work / name).exists():
                    os.replace(self.work / name, self.folder / name)
                elif name not in self.files:
                    (self.folder / name).unlink(missing_ok=True)  # left by a store that this one replaces
            os.replace(self.work / RECORD, self.folder / RECORD)
        self._unfinished.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if fault is None:
            self._opened.close()
            return
        with suppress(OSError):  # Data that can no longer be flushed come after the last commit.
            self._opened.close()
        n_done, is_interrupted = self.n_sequences, not isinstance(fault, Exception)
        is_little = not self._n_before and self._n_commits < 2  # quick to repeat, so not worth keeping
        if not n_done or (is_little and not is_interrupted):
            self._unfinished.remove()
        elif n_done > self._n_before or is_interrupted:
            kept = f"{format_count(n_done, 'sequence')} done and kept"
            fault.add_note(f"{kept}: repeat the command with --resume to continue")

    def _open_streams(self, opened: ExitStack) -> dict[TensorFile, TensorWriter]:
        streams = {}
        for file, dtype in self._dtypes.items():
            n_bytes = self._unfinished.progress["n_bytes"].get(file.tensor, 0)
            try:
                streams[file] = TensorWriter(self.work / file.name, dtype, n_bytes)
            except (FileNotFoundError, DataError) as error:
                raise self._unfinished.damaged(f"{file.name} is not what it was") from error
            opened.callback(streams[file].close)
            if file in (OFFSETS, ID_OFFSETS) and not n_bytes:
                streams[file].append(np.zeros(1, np.int64))
        return streams

    def _append_ends(self, file: TensorFile, values: TensorWriter, lengths: Indices) -> None:
        """Append the places where sequences of these lengths end once they are appended to ``values``."""
        self._streams[file].append(values.n_values + np.cumsum(lengths))


def hash_sequences(tokens: Tokens, lengths: Indices, values: Values | None = None) -> Hashes:
    """Return a 64-bit hash of each sequence's tokens, and of its values if it has any (BLAKE2b, RFC 7693)."""
    data = np.ascontiguousarray(tokens).view(np.uint8).data
    places = list(pairwise([0, *np.cumsum(lengths).tolist()]))
    wide, size = tokens.dtype.itemsize, HASHES.itemsize
    found = (blake2b(data[start * wide : end * wide], digest_size=size) for start, end in places)
    if values is None:
        return np.frombuffer(b"".join(digest.digest() for digest in found), "<u8")
    digests, of_values = list(found), np.ascontiguousarray(values, VALUES.dtype)
    for digest, (start, end) in zip(digests, places, strict=True):
        digest.update(of_values[start:end].data)
    return np.frombuffer(b"".join(digest.digest() for digest in digests), "<u8")
