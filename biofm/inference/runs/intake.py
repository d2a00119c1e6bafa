"""Intake: records are read from a file on their way to the model, and the share that is done is known."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from biofm_datasets import Record

from biofm.core import Progress
from biofm.inference.runs.shards import Shard

AHEAD_BYTES = 2 << 20
"""The memory that records read ahead may take: enough for some 4,000 proteins."""
RECORD_BYTES = 256
"""The memory that a record takes besides its sequence."""
CELL_BYTES = 128
"""The memory that each further cell of a record takes."""


class Intake:
    """Passes on the records of an opened file, and reads some thousands of them ahead.

    A short input is therefore read to its end before the model starts: its faults show at once, and the share
    that is done is known exactly. For a long input, the share is estimated from how far the file has been
    read.

    Args:
        records: The records of the file, read when they are needed.
        stream: The opened file, whose position shows how far it has been read.
    """

    def __init__(self, records: Iterable[Record], stream: BinaryIO) -> None:
        self._records = records
        self._share_read = share_reader(stream)
        self._n_residues = 0
        self._has_ended = False

    def __iter__(self) -> Iterator[Record]:
        ahead: deque[Record] = deque()
        ahead_bytes = 0
        for record in self._records:
            ahead.append(record)
            ahead_bytes += _bytes_of(record)
            self._n_residues += len(record.sequence)
            while ahead_bytes > AHEAD_BYTES:
                ahead_bytes -= _bytes_of(ahead[0])
                yield ahead.popleft()
        self._has_ended = True
        while ahead:
            yield ahead.popleft()

    def share_of(self, n_residues: float) -> float | None:
        """Return the share of the whole input, from 0 to 1, that some residues are; None while unknown.

        Args:
            n_residues: The number of residues that are done.
        """
        share_read = 1.0 if self._has_ended else self._share_read()
        if share_read is None or not self._n_residues:
            return None
        return min(1.0, share_read * n_residues / self._n_residues)


class Meter:
    """Reports to ``progress`` how far the work on a shard is.

    ``n_residues`` were done before this session. The model processed ``n_tokens`` in this session, and
    ``n_chunk_tokens`` of them for the current chunk.
    """

    def __init__(self, progress: Progress, intake: Intake, shard: Shard, n_residues: int) -> None:
        self._progress = progress
        self._intake = intake
        self._shard = shard
        self._n_residues = n_residues
        self._has_begun = False
        self.n_tokens = 0

    def begin_chunk(self) -> None:
        """Begin the next chunk. When the first one begins, all that earlier sessions did has been read."""
        self.n_chunk_tokens = self._n_chunk_residues = 0
        if not self._has_begun:
            self._has_begun = True
            self._progress.start_from(self._fraction())

    def on_batch(self, n_tokens: int, n_residues: int) -> None:
        """Count a batch that went through the model."""
        self.n_tokens += n_tokens
        self.n_chunk_tokens += n_tokens
        self._n_chunk_residues += n_residues
        self._progress.update(tokens=self.n_tokens, fraction=self._fraction())

    def end_chunk(self, n_residues: int) -> None:
        """Count the whole chunk as done: ``n_residues``, with the sequences whose rows were known already."""
        self._n_chunk_residues = 0
        self._n_residues += n_residues
        self._progress.update(tokens=self.n_tokens, fraction=self._fraction())

    def _fraction(self) -> float | None:
        return self._intake.share_of(self._shard.n * (self._n_residues + self._n_chunk_residues))


def _bytes_of(record: Record) -> int:
    """Estimate the memory that a record takes."""
    return RECORD_BYTES + len(record.sequence) + CELL_BYTES * len(record.columns)


def share_reader(stream: BinaryIO) -> Callable[[], float | None]:
    """Return a function that tells the share of a file that has been read, from 0 to 1; None if unknown.

    Args:
        stream: The opened file.
    """
    n_bytes = _size_of(stream)
    return lambda: min(1.0, stream.tell() / n_bytes) if n_bytes else None


def _size_of(stream: BinaryIO) -> int:
    """Return the size of a file in bytes, or 0 for a pipe, and for Parquet, which is not read in order."""
    if not stream.seekable():
        return 0
    start = stream.tell()
    magic = stream.read(4)
    n_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(start)
    return 0 if magic == b"PAR1" else n_bytes
