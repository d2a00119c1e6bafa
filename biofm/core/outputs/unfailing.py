"""Files whose writes never raise are for HDF5 and Arrow, which crash or misbehave if a write raises."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class UnfailingFile:
    """Passes every call on to an empty binary file and keeps the first fault, which ``faults_raised`` raises.

    HDF5 keeps a file that it could not write, tries again when Python ends, and crashes the process
    (https://github.com/h5py/h5py/issues/914). Arrow writes the end of a file when its writer is deleted, even
    if the file is closed by then. Therefore every write after a fault is accepted and discarded.
    """

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._fault: BaseException | None = None
        self._position = 0
        self._end = 0

    @contextmanager
    def faults_raised(self) -> Iterator[None]:
        """Raise the first fault at the end of the ``with``, whatever the library in between raised."""
        try:
            yield
        finally:
            if self._fault is not None:
                raise self._fault

    def write(self, data: "ReadableBuffer") -> int:
        n_bytes = memoryview(data).nbytes
        self._try(lambda: self._file.write(data))
        self._position += n_bytes
        self._end = max(self._end, self._position)
        return n_bytes

    def truncate(self, size: int) -> int:
        self._try(lambda: self._file.truncate(size))
        self._end = size
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        self._position = start + offset
        self._try(lambda: self._file.seek(self._position))
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        data = bytearray(self._end - self._position if size < 0 else size)
        return bytes(data[: self.readinto(data)])

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))  # After a fault, zeros are read.
        n_bytes = max(0, min(len(view), self._end - self._position))
        self._try(lambda: self._file.readinto(view))  # type: ignore[attr-defined]
        self._position += n_bytes
        return n_bytes

    def flush(self) -> None:
        self._try(self._file.flush)

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file open: the code that opened it closes it."""

    def _try(self, action: Callable[[], object]) -> None:
        if self._fault is None:
            try:
                action()
            except BaseException as fault:  # noqa: BLE001 - faults_raised raises it, even an interrupt.
                self._fault = fault
