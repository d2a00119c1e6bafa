"""Writes files of one-dimensional tensors in the safetensors format as streams, and reads them as memory
maps.

The format (https://github.com/huggingface/safetensors, "Format") puts a header in JSON before the data. The
header of a store's files has a fixed size, with blanks at its end, so that it can be written last, when the
number of values is known.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from biofm_datasets.documents import parse_json
from biofm_datasets.errors import DataError
from biofm_datasets.text import format_count

HEADER_BYTES = 4096
"""The size of the header: a page, so that the values are aligned in a memory map."""

DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
}

COPY_AGAIN = "Copy the store again, or prepare it again"
"""The remedy for a damaged file."""

_LENGTH_BYTES = 8
_BLOCK_BYTES = 1 << 20

Array = NDArray[Any]


class FileSum(NamedTuple):
    """Holds the number of bytes of data after the header, and their SHA-256."""

    n_bytes: int
    data_sha256: str


class TensorWriter:
    """Appends values of one dtype to a file.

    Args:
        path: The file.
        dtype: The dtype of the values, in the words of safetensors.
        n_bytes: The bytes of data of an earlier writer to keep; the rest is dropped. 0 begins a new file.

    Raises:
        DataError: The file holds fewer bytes.
    """

    def __init__(self, path: Path, dtype: str, n_bytes: int = 0) -> None:
        self.path = path
        self.dtype = dtype
        self.n_bytes = n_bytes
        self._digest = hashlib.sha256()
        self._file = path.open("r+b" if n_bytes else "w+b")
        try:
            if n_bytes:
                self._read_again()
            else:
                self._file.write(bytes(HEADER_BYTES))
        except BaseException:
            self._file.close()
            raise

    @property
    def n_values(self) -> int:
        return self.n_bytes // DTYPES[self.dtype].itemsize

    def append(self, values: Array) -> None:
        """Write values after the earlier ones."""
        data = np.ascontiguousarray(values, DTYPES[self.dtype]).view(np.uint8).data
        self._digest.update(data)
        self._file.write(data)
        self.n_bytes += len(data)

    def sync(self) -> None:
        """Bring the appended values to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def finish(self, n_values: Mapping[str, int]) -> FileSum:
        """Write the header, which names the tensors in their order, and close the file."""
        header = header_of({name: (self.dtype, n) for name, n in n_values.items()})
        assert self.n_values == sum(n_values.values()), "each value belongs to a tensor"
        self._file.seek(0)
        self._file.write(header)
        self.sync()
        self.close()
        return FileSum(self.n_bytes, self._digest.hexdigest())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_again(self) -> None:
        """Include the data of the earlier writer in the checksum."""
        for block in read_data(self.path, self.n_bytes):
            self._digest.update(block)
        self._file.truncate(HEADER_BYTES + self.n_bytes)
        self._file.seek(0, os.SEEK_END)


def header_of(tensors: Mapping[str, tuple[str, int]]) -> bytes:
    """Return the header of a file of these tensors: names with dtypes and numbers of values."""
    layout, end = {}, 0
    for name, (dtype, n) in tensors.items():
        start, end = end, end + n * DTYPES[dtype].itemsize
        layout[name] = {"dtype": dtype, "shape": [n], "data_offsets": [start, end]}
    text = json.dumps(layout, separators=(",", ":")).encode()
    n_bytes = HEADER_BYTES - _LENGTH_BYTES
    assert len(text) <= n_bytes, "so many tensors do not fit"
    return n_bytes.to_bytes(_LENGTH_BYTES, "little") + text.ljust(n_bytes)


def read_data(path: Path, n_bytes: int) -> Iterator[bytes]:
    """Yield the data of a store's file, block by block.

    Raises:
        DataError: The file holds fewer bytes.
    """
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while n_bytes:
            block = file.read(min(_BLOCK_BYTES, n_bytes))
            if not block:
                what = f"the file is {format_count(n_bytes, 'byte')} too short"
                raise DataError(what, where=str(path), remedy=COPY_AGAIN)
            n_bytes -= len(block)
            yield block


class StoredValues:
    """Reads the values of the one tensor in a store's file, a slice at a time.

    A pass over all values does not fill the memory, as it would with a memory map.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self._path = path
        self._dtype = dtype
        self._n = (path.stat().st_size - HEADER_BYTES) // dtype.itemsize

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, part: slice) -> Array:
        start, stop, step = part.indices(self._n)
        assert step == 1, "values that follow each other"
        begin = HEADER_BYTES + start * self._dtype.itemsize
        return np.fromfile(self._path, self._dtype, max(0, stop - start), offset=begin)


def map_tensors(path: Path) -> dict[str, Array]:
    """Return the tensors of a file, mapped into memory, read-only.

    Raises:
        DataError: The file is missing, not in this format, or shorter or longer than its header says.
    """
    try:
        raw = np.memmap(path, np.uint8, "r").view(np.ndarray)
    except FileNotFoundError as error:
        raise DataError("this file of the store is missing", where=str(path), remedy=COPY_AGAIN) from error
    except (OSError, ValueError) as error:  # ValueError: it is empty
        raise DataError(f"this file cannot be read ({error})", where=str(path), remedy=COPY_AGAIN) from error
    begin = _LENGTH_BYTES + int.from_bytes(raw[:_LENGTH_BYTES].tobytes(), "little")
    if begin > len(raw):
        raise _no_tensors(path, "its header is longer than the file")
    data = raw[begin:]
    tensors, end = {}, 0
    for name, dtype, n, (start, stop) in _read_layout(raw[_LENGTH_BYTES:begin].tobytes(), path):
        if start != end or stop != start + n * dtype.itemsize or n < 0:
            raise _no_tensors(path, f"the place of {name!r} is wrong")
        if stop > len(data):
            what = f"the file is {format_count(stop - len(data), 'byte')} too short"
            raise DataError(what, where=str(path), remedy=COPY_AGAIN)
        tensors[name] = data[start:stop].view(dtype)
        end = stop
    if end != len(data):
        raise _no_tensors(path, f"it is {format_count(len(data) - end, 'byte')} too long")
    return tensors


def _read_layout(header: bytes, path: Path) -> list[tuple[str, np.dtype[Any], int, tuple[int, int]]]:
    try:
        layout = parse_json(header)
        layout.pop("__metadata__", None)
        return [
            (name, DTYPES[entry["dtype"]], _whole(*entry["shape"]), _pair(entry["data_offsets"]))
            for name, entry in layout.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _no_tensors(path, "its header is damaged") from error


def _pair(numbers: Sequence[object]) -> tuple[int, int]:
    start, stop = map(_whole, numbers)
    return start, stop


def _whole(number: object) -> int:
    if type(number) is not int:
        raise TypeError(number)
    return number


def _no_tensors(path: Path, why: str) -> DataError:
    return DataError(f"this is no safetensors file of a store: {why}", where=str(path), remedy=COPY_AGAIN)
