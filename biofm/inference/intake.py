"""The records of a file on their way to the model, and the share of them that is done."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from biofm_datasets import Record

AHEAD_BYTES = 2 << 20  # some 4,000 proteins
RECORD_BYTES = 256  # what a record takes besides its residues
CELL_BYTES = 128  # and what each cell of its columns takes


class Intake:
    """Passes records on, having read some thousands of them ahead.

    So a short input is read whole before the model starts: its faults show at once, and the share that is
    done is known exactly. Of a long one it is estimated from how far the file has been read.
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
        """How much of the whole input so many residues are, from 0 to 1; None where one cannot know yet."""
        share_read = 1.0 if self._has_ended else self._share_read()
        if share_read is None or not self._n_residues:
            return None
        return min(1.0, share_read * n_residues / self._n_residues)


def _bytes_of(record: Record) -> int:
    return RECORD_BYTES + len(record.sequence) + CELL_BYTES * len(record.columns)


def share_reader(stream: BinaryIO) -> Callable[[], float | None]:
    """A function that says how much of a file has been read; None for what cannot know."""
    n_bytes = _size_of(stream)
    return lambda: min(1.0, stream.tell() / n_bytes) if n_bytes else None


def _size_of(stream: BinaryIO) -> int:
    """The size of a file that is read from its beginning to its end; 0 for a pipe, and for Parquet."""
    if not stream.seekable():
        return 0
    start = stream.tell()
    magic = stream.read(4)
    n_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(start)
    return 0 if magic == b"PAR1" else n_bytes
