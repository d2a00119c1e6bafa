"""A file under its final name is always complete: it is written as a hidden file and renamed at the end.

The hidden file is ``.NAME.partial-PID-XXXXXXXX``. It is locked while its run lives, so that a later run with
the same target can recognise the file of a killed run and remove it. Process numbers would not do: containers
share folders but not numbers. Where locks are not available (Windows, some network mounts), the file of a
killed run stays.
"""

import errno
import io
import os
import secrets
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from biofm.core.errors import OutputError, RefusedError
from biofm.gate.folders import Folder
from biofm.gate.outputs import MORE_SPACE, check_file, check_place, outside, unwritable
from biofm.gate.roots import OutsideRootsError, restricts_nothing
from biofm.policy import Target

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

if sys.platform != "win32":
    import fcntl

BUFFER_BYTES = 1 << 20


class PartialFile:
    """Writes a file that gets its name when it is complete.

    Call ``finish``, then ``publish``; or ``discard``, which removes the file. ``handle`` is a stream that can
    be read, written and seeked. Its user may close it or leave it open.

    Args:
        target: The file to be written.
        roots: The folders below which the policy allows to write.
        ours: The identity of the file that an earlier session of this run may have left under the name. This
            file may be replaced.

    Raises:
        RefusedError: From the constructor: the file lies outside the roots, or a link leads out of them.
        OutputError: From the constructor, before any work: the target exists and may not be replaced, is not
            an ordinary file, or its folder cannot be written. From ``check`` and ``finish``: a write failed.
            From ``publish``: the file cannot get its name.
    """

    def __init__(self, target: Target, roots: Sequence[Path], ours: Sequence[int] | None = None) -> None:
        check_place(target.path, roots)
        with suppress(OSError, ValueError):
            if ours is not None and identity_of(os.stat(target.path)) == tuple(ours):
                target = replace(target, overwrite=True)
        self.target = target
        self._folder, self._name = open_place(target, roots)
        self._descriptor = -1
        self._partial = ""
        try:
            check_file(target)
            _remove_leftovers(self._folder, self._name)
            self._create()
            self._raw = WatchedFile(self._descriptor, "w+b", closefd=False)
            self.handle = cast(BinaryIO, io.BufferedRandom(self._raw, BUFFER_BYTES))
        except BaseException as error:  # After a signal nobody has the object to discard the file.
            self._remove()
            if isinstance(error, OSError | ValueError):
                raise unwritable(target.path, error) from error
            raise

    def _create(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        while self._descriptor < 0:
            self._partial = f"{_prefix(self._name)}{os.getpid()}-{secrets.token_hex(4)}"
            self._descriptor = self._folder.open(self._partial, flags)
            if not _lock(self._descriptor):
                self._release()

    def check(self) -> None:
        """Raise OutputError if a write has failed, even if a library in between has hidden the failure."""
        fault = self._raw.fault
        if fault is not None:
            what = f"writing failed ({fault.strerror})"
            raise OutputError(what, where=str(self.target.path), remedy=MORE_SPACE)

    def finish(self) -> None:
        """Write every byte to the disk."""
        try:
            self.handle.close()
            os.fsync(self._descriptor)
        except OSError as error:
            self._raw.fault = self._raw.fault or error
        self.check()
        if sys.platform == "win32":  # It cannot rename an open file; elsewhere this would end the lock.
            self._release()

    @property
    def identity(self) -> tuple[int, ...]:
        """The inode, size and time of change, by which the finished file can be identified."""
        return identity_of(self._folder.stat(self._partial))

    def publish(self) -> None:
        """Give the finished file its name.

        If that fails, keep the file under another name and raise OutputError.
        """
        if not self._folder.is_in_place():
            self._release()
            what = "its folder was moved or replaced during the run, and the output is lost"
            remedy = "Repeat the command when nothing changes the folder"
            raise OutputError(what, where=str(self.target.path), remedy=remedy)
        try:
            if self.target.overwrite:
                with suppress(FileNotFoundError):
                    mode = stat.S_IMODE(self._folder.stat(self._name).st_mode)
                    self._folder.chmod(self._partial, mode)
                self._folder.rename(self._partial, self._name)
            else:
                places = self._folder.place(self._partial), self._folder.place(self._name)
                rename_to_new(*places, self._folder.descriptor)
        except OSError as error:
            raise self._keep_aside(error) from error
        finally:
            self._release()

    def discard(self) -> None:
        """Remove the hidden file, if ``publish`` has not renamed it."""
        with suppress(OSError, ValueError):  # Bytes that can no longer be flushed are not needed.
            self.handle.close()
        self._remove()

    def _remove(self) -> None:
        self._release()
        with suppress(OSError):  # It may have its name by now, or not exist yet.
            self._folder.unlink(self._partial)
        self._folder.close()

    def _release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _keep_aside(self, error: OSError) -> OutputError:
        what = f"renaming failed ({error.strerror})"
        if isinstance(error, FileExistsError):
            what = "a file of this name appeared during the run"
        aside = Path(self._name).with_stem(f"{Path(self._name).stem}.{secrets.token_hex(4)}")
        try:
            self._folder.rename(self._partial, aside.name)
        except OSError:
            return OutputError(f"{what}, and the output is lost", where=str(self.target.path))
        remedy = f"The finished output was kept as {self._folder.path / aside}"
        return OutputError(what, where=str(self.target.path), remedy=remedy)


class WatchedFile(io.FileIO):
    """Writes a raw file, and remembers the first write that failed."""

    fault: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.fault = self.fault or error
            raise

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.fault = self.fault or error
            raise


def identity_of(status: os.stat_result) -> tuple[int, ...]:
    """Return what identifies an unchanged file: its inode, size and time of change."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def open_place(target: Target, roots: Sequence[Path]) -> tuple[Folder, str]:
    """Open the folder of a target, and return it with the name of the file in it.

    Under a policy that restricts no folders a symbolic link is followed, as by a shell's redirection: the
    file that it leads to is replaced. Under another policy a link is refused.

    Raises:
        OutputError: There is no such folder, or it cannot be opened.
        RefusedError: The folder lies outside the roots, or the target is a link.
    """
    is_free = restricts_nothing(roots)
    path = Path(os.path.realpath(target.path)) if is_free else target.path
    try:
        folder = Folder(path.parent, roots)
    except OutsideRootsError as error:
        raise outside(target.path, error) from error
    except OSError as error:
        check_file(target)  # It has a better message for the common faults.
        raise unwritable(target.path, error) from error
    with suppress(OSError):
        if not is_free and stat.S_ISLNK(folder.stat(path.name).st_mode):
            folder.close()
            remedy = "Name the file that the link leads to"
            raise RefusedError("the policy does not allow links here", where=str(path), remedy=remedy)
    return folder, path.name


def _prefix(name: str) -> str:
    return f".{name}.partial-"


def _lock(descriptor: int) -> bool:
    """Lock a new file. Return False if another run took it for a leftover and removed it first."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # On a mount without locks nobody can take it for a leftover.
            return True
    return os.fstat(descriptor).st_nlink > 0


def _remove_leftovers(folder: Folder, name: str) -> None:
    """Remove the hidden files of killed runs with the same target, which no process has locked."""
    if sys.platform == "win32":
        return
    with suppress(OSError):  # Another run may also be removing them.
        for leftover in folder.names():
            if leftover.startswith(_prefix(name)):
                with suppress(OSError):
                    _remove_unlocked(folder, leftover)


def _remove_unlocked(folder: Folder, leftover: str) -> None:
    """Remove a leftover if no process has locked it.

    Other users of the folder can plant a link or a pipe of such a name: neither is opened or removed.
    """
    descriptor = folder.open(leftover, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            folder.unlink(leftover)
    finally:
        os.close(descriptor)


def rename_to_new(partial: str | Path, path: str | Path, folder: int | None = None) -> None:
    """Rename a file, but never over a file that appeared meanwhile.

    A POSIX rename would replace that file; a hard link cannot. With the descriptor of a folder, both names
    are relative to it.
    """
    try:
        os.link(partial, path, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        raise
    except OSError as error:  # Without hard links, to look and then rename is the best that can be done.
        with suppress(FileNotFoundError):
            os.stat(path, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        os.rename(partial, path, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        os.unlink(partial, dir_fd=folder)
