"""Standard output can be a target: nothing is written to it before the output is complete."""

import io
import os
import shutil
import sys
from contextlib import suppress
from tempfile import TemporaryFile
from typing import BinaryIO, cast

from biofm.core.errors import OutputError
from biofm.core.temporary import FREE_TEMPORARY, temporary_folder
from biofm.core.text import shown_lines
from biofm.gate.partial import BUFFER_BYTES, WatchedFile


class StandardOutput:
    """Writes to standard output as ``PartialFile`` writes to a file.

    The output is kept in a temporary file until ``publish``; ``discard`` removes that file.

    Raises:
        OutputError: From the constructor: standard output is closed or not a file of the system, or a
            temporary file cannot be created. From ``check``, ``finish`` and ``publish``: a write failed.
        BrokenPipeError: From ``publish``: the reader of standard output has ended.
    """

    identity: tuple[int, ...] = ()

    def __init__(self) -> None:
        try:
            self._descriptor = sys.stdout.fileno()
        except (AttributeError, OSError, ValueError) as error:  # It is None, has no descriptor, or is closed.
            raise _unwritable("it is closed or not a file of the system", "Give a file name") from error
        try:
            with TemporaryFile(dir=temporary_folder()) as file:
                self._raw = WatchedFile(os.dup(file.fileno()), "w+b")
        except OSError as error:
            raise _unwritable(
                f"no temporary file can be created: {error.strerror}", FREE_TEMPORARY
            ) from error
        self.handle = cast(BinaryIO, io.BufferedRandom(self._raw, BUFFER_BYTES))

    def check(self) -> None:
        """Raise OutputError if a write has failed."""
        if fault := self._raw.fault:
            raise _unwritable(f"a temporary file cannot be written: {fault.strerror}", FREE_TEMPORARY)

    def finish(self) -> None:
        """Write every byte to the temporary file."""
        try:
            self.handle.flush()
        except OSError as error:
            self._raw.fault = self._raw.fault or error
        self.check()

    def publish(self) -> None:
        """Copy the temporary file to standard output. A terminal gets no characters that could steer it."""
        self.handle.seek(0)
        try:
            sys.stdout.flush()
            with open(self._descriptor, "wb", closefd=False) as out:
                if out.isatty():
                    out.write(shown_lines(self.handle.read().decode()).encode())
                else:
                    shutil.copyfileobj(self.handle, out, BUFFER_BYTES)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _unwritable(
                str(error.strerror), "Redirect it to another place, or free some space there"
            ) from error
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the temporary file."""
        with suppress(OSError, ValueError):  # Bytes that can no longer be flushed are not needed.
            self.handle.close()


def _unwritable(reason: str, remedy: str) -> OutputError:
    return OutputError(f"nothing can be written there ({reason})", where="standard output", remedy=remedy)
