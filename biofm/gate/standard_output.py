"""Standard output as a target: nothing is written to it before the output is whole."""

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
    """What a ``PartialFile`` is to a file, for standard output. What is written is kept in a temporary file
    until ``publish``; ``discard`` removes that.

    Raises:
        OutputError: From the constructor: standard output is closed, or no file of the system, or a temporary
            file cannot be made. From ``check``, ``finish`` and ``publish``: a write failed.
        BrokenPipeError: From ``publish``: its reader has gone.
    """

    identity: tuple[int, ...] = ()

    def __init__(self) -> None:
        try:
            self._descriptor = sys.stdout.fileno()
        except (AttributeError, OSError, ValueError) as error:  # None, io.UnsupportedOperation, closed
            raise _unwritable("it is closed, or no file of the system", "Name a file") from error
        try:
            with TemporaryFile(dir=temporary_folder()) as file:
                self._raw = WatchedFile(os.dup(file.fileno()), "w+b")
        except OSError as error:
            raise _unwritable(f"no temporary file can be made: {error.strerror}", FREE_TEMPORARY) from error
        self.handle = cast(BinaryIO, io.BufferedRandom(self._raw, BUFFER_BYTES))

    def check(self) -> None:
        if fault := self._raw.fault:
            raise _unwritable(f"a temporary file cannot be written: {fault.strerror}", FREE_TEMPORARY)

    def finish(self) -> None:
        try:
            self.handle.flush()
        except OSError as error:
            self._raw.fault = self._raw.fault or error
        self.check()

    def publish(self) -> None:
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
            raise _unwritable(str(error.strerror), "Send it elsewhere, or free some space there") from error
        finally:
            self.discard()

    def discard(self) -> None:
        with suppress(OSError, ValueError):  # what cannot be flushed any more need not be
            self.handle.close()


def _unwritable(reason: str, remedy: str) -> OutputError:
    return OutputError(f"nothing can be written there ({reason})", where="standard output", remedy=remedy)
