"""The inputs of a request are opened here, and watched for changes during the run."""

import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from biofm.core.errors import InputError
from biofm.gate.outputs import outside, reason_of
from biofm.gate.partial import identity_of
from biofm.gate.roots import OutsideRootsError, check_name, open_below, restricts_nothing

if sys.platform != "win32":
    import resource

STANDARD_INPUT = Path("-")
OTHER_FILES = 64  # How many files a process may have open besides those of a request.


def open_input(path: Path, roots: Sequence[Path], *, streams: bool = False) -> BinaryIO:
    """Open a file for reading.

    Args:
        path: The file. ``Path("-")`` is standard input, which cannot seek.
        roots: The folders below which the policy allows to read.
        streams: Whether the file may be a named pipe.

    Raises:
        InputError: There is no such file, it is a folder or a device, or it cannot be read.
        RefusedError: It lies outside the roots, or a link leads out of them.
    """
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            remedy = "Pipe a file into the command, or give a file name"
            raise InputError("standard input is closed", where="-", remedy=remedy)
        return sys.stdin.buffer
    try:
        return _open_regular(path, roots, streams)
    except OutsideRootsError as error:
        raise outside(path, error) from error
    except FileNotFoundError as error:
        raise InputError("there is no such file", where=str(path), remedy=_look_in(path.parent)) from error
    except IsADirectoryError as error:
        raise _is_a_folder(path) from error
    except (OSError, ValueError) as error:
        if os.path.isdir(path):  # Windows reports a folder as a lack of permission.
            raise _is_a_folder(path) from error
        reason = reason_of(error)
        remedy = (
            "Check its permissions: ls -l shows them"
            if isinstance(error, PermissionError)
            else "Check the path"
        )
        raise InputError(f"the file cannot be read ({reason})", where=str(path), remedy=remedy) from error


def _open_regular(path: Path, roots: Sequence[Path], streams: bool) -> BinaryIO:
    """Open an ordinary file, or a pipe if ``streams``.

    Raises:
        InputError: It is a device, which may never end, or an unexpected pipe, which would wait for a writer.
    """
    mode = _mode_of(path, roots)
    is_pipe = stat.S_ISFIFO(mode)
    if is_pipe and streams:
        return open(path, "rb", opener=partial(_open_plainly, roots))
    if not is_pipe:  # It may become a pipe before it is opened: then the opening must not wait.
        file = open(path, "rb", opener=partial(open_without_waiting, roots))  # noqa: SIM115  # The permit closes it.
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISREG(mode):
            return file
        file.close()
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a device"
    remedy = "Save its contents to a file first" if is_pipe else "Give an ordinary file"
    raise InputError(f"this is {kind}, not a file", where=str(path), remedy=remedy)


def _mode_of(path: Path, roots: Sequence[Path]) -> int:
    """Return the type and permissions of a file below the roots, without opening it if possible."""
    if restricts_nothing(roots):
        check_name(path)
        return os.stat(path).st_mode
    descriptor = open_below(roots, path, getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK))
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)


def _open_plainly(roots: Sequence[Path], path: str, flags: int) -> int:
    return open_below(roots, Path(path), flags)


def open_without_waiting(roots: Sequence[Path], path: str, flags: int) -> int:
    """Open a file below the roots as an ``opener`` of ``open`` that does not wait if the file is a pipe."""
    return open_below(roots, Path(path), flags | getattr(os, "O_NONBLOCK", 0))


def watch(reader: BinaryIO, path: Path) -> Callable[[], None]:
    """Return a function that raises InputError if the opened file has been changed since.

    A file that was replaced by another one counts as unchanged, because its reader still has the old one. A
    pipe is not watched.
    """
    before = _state_of(reader, path)

    def check() -> None:
        if before is not None and _state_of(reader, path) != before:
            remedy = "Repeat the command when nothing changes the file"
            raise InputError("this file was changed while it was read", where=str(path), remedy=remedy)

    return check


def _state_of(reader: BinaryIO, path: Path) -> tuple[int, ...] | None:
    try:
        # A library may have closed the file that it read.
        status = os.stat(path) if reader.closed else os.fstat(reader.fileno())
    except (OSError, ValueError):
        return None
    return identity_of(status) if stat.S_ISREG(status.st_mode) else None


def allow_open_files(n_files: int) -> None:
    """Let this process open ``n_files`` files at once, as far as the system permits.

    The default limit is often 1,024, and a run may have a thousand shards.
    """
    if sys.platform == "win32":
        return
    wanted = n_files + OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        new = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))


def _is_a_folder(path: Path) -> InputError:
    return InputError("this is a folder, not a file", where=str(path), remedy="Name a file inside it")


def _look_in(folder: Path) -> str:
    if os.path.isdir(folder):
        is_current = os.path.samefile(folder, os.curdir)
        return f"Check the name ({_current() if is_current else f'the folder {folder} exists'})"
    return f"Check the path: there is no folder {folder} ({_current()})"


def _current() -> str:
    return f"the current folder is {os.getcwd()}"
