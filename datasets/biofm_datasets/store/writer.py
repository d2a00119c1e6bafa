"""Writing a store as a stream, in memory that does not grow, so that a killed run can go on."""

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

SPLIT_BLOCK = 1 << 16
"""Sequences whose parts are written at once."""


class StoreWriter:
    """Writes a store into ``folder``, which exists. Until ``publish`` everything lies in its ``.unfinished``,
    and a store that the folder holds already stays as it is.

        with StoreWriter(folder, "U8", fingerprint, resume=True) as writer:
            if not writer.is_sealed:
                ...                                        # what writer.state says is done
                writer.append(ids, tokens, lengths)
                writer.commit({"n_read": 7})
                writer.seal()
            if not writer.is_moving:
                counts = writer.write_split(labels)
                writer.complete(record)
            writer.publish()

    A commit brings what was appended to the disk, with what the caller says of it. After a kill a writer of
    the same ``fingerprint`` with ``resume`` begins at the last commit; the files become the same, byte by
    byte. A fault that is no interruption leaves nothing of a run of one commit. ``anew``: unfinished work is
    given up. ``has_keys``: a number is kept for each sequence until the store is published. ``has_values``:
    each token comes with a number.

    Raises DataError as ``Unfinished`` does.
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
        """What the last commit was told; empty before the first."""
        return dict(self._unfinished.progress["state"])

    @property
    def n_sequences(self) -> int:
        """How many the last commit holds."""
        return int(self._unfinished.progress["n_bytes"].get(HASHES.tensor, 0)) // HASHES.itemsize

    @property
    def is_sealed(self) -> bool:
        """Whether all sequences are there."""
        return bool(self._unfinished.progress["sums"])

    @property
    def is_moving(self) -> bool:
        """Whether ``publish`` has begun, and nothing else is left to do."""
        return self.is_sealed and not (self.work / TOKENS.name).exists()

    @property
    def files(self) -> dict[str, FileRecord]:
        """The sums of the finished files."""
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
        """Add sequences: ``tokens`` holds theirs one after the other, ``values`` a number for each token."""
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
        """Bring everything so far to the disk."""
        for stream in self._streams.values():
            stream.sync()
        n_bytes = {file.tensor: stream.n_bytes for file, stream in self._streams.items()}
        self._unfinished.remember(n_bytes=n_bytes, state=dict(state))
        self._n_commits += 1

    def seal(self) -> None:
        """All sequences are committed: finish their files."""
        sums = {
            file.name: stream.finish({file.tensor: stream.n_values}) for file, stream in self._streams.items()
        }
        self._unfinished.remember(sums=sums)

    def write_split(self, labels: NDArray[np.uint8]) -> dict[str, int]:
        """``labels`` are places in ``PARTS``, one for each sequence. Returns how many each part has."""
        counts = {part: int(np.count_nonzero(labels == number)) for number, part in enumerate(PARTS)}
        stream = TensorWriter(self.work / SPLIT, "I64")
        self._opened.callback(stream.close)
        for number in range(len(PARTS)):
            for begin in range(0, len(labels), SPLIT_BLOCK):
                stream.append(begin + np.flatnonzero(labels[begin : begin + SPLIT_BLOCK] == number))
        self._unfinished.remember(sums=self._unfinished.progress["sums"] | {SPLIT: stream.finish(counts)})
        return counts

    def complete(self, record: StoreRecord) -> None:
        """Everything is written; this is what the store says of itself."""
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
                    (self.folder / name).unlink(missing_ok=True)  # of a store that this one replaces
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
        with suppress(OSError):  # what cannot be flushed any more is behind the last commit
            self._opened.close()
        n_done, is_interrupted = self.n_sequences, not isinstance(fault, Exception)
        is_little = not self._n_before and self._n_commits < 2  # done again sooner than thought about
        if not n_done or (is_little and not is_interrupted):
            self._unfinished.remove()
        elif n_done > self._n_before or is_interrupted:
            kept = f"{n_done:,} sequences are done and kept"
            fault.add_note(f"{kept}: repeat the command with --resume to go on")

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
        """Where sequences of these lengths will end, that are appended to ``values`` next."""
        self._streams[file].append(values.n_values + np.cumsum(lengths))


def hash_sequences(tokens: Tokens, lengths: Indices, values: Values | None = None) -> Hashes:
    """64 bits of each sequence's tokens, and of its values where it has any (BLAKE2b, RFC 7693)."""
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
