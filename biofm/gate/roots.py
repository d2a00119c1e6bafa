"""Files are opened relative to the folders that the policy allows, the roots, and no link leads out of them.

A check of a name is worth nothing if the name means another file a moment later. So nothing is checked
first: the kernel opens the name relative to the descriptor of a root (``openat2``), or, where it cannot, each
folder on the way is opened in turn without following links, and the text of a link is walked in the same way.
A link or ``..`` that leaves the root is refused, and so is an absolute link, wherever it leads.

The root ``/`` holds everything: names below it are opened as any program opens them.
"""

import errno
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from biofm.gate.kernel_open import openat2

EVERYWHERE = (Path("/"),)
"""The root of a policy that restricts no paths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """Holds the folders below which the policy allows to read, and those below which it allows to write.

    Attributes:
        read: Absolute paths of folders.
        write: Absolute paths of folders.
    """

    read: tuple[Path, ...]
    write: tuple[Path, ...]


EVERYWHERE_ALLOWED = Roots(read=EVERYWHERE, write=EVERYWHERE)
"""The roots of the policy ``research``."""
MOST_LINKS = 40  # as many as Linux follows
IS_WINDOWS = sys.platform == "win32"
ON_THE_WAY = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)
"""How a folder is opened that is only passed. Where the system permits it, no right to list it is needed."""


class UnsafeNameError(ValueError):
    """Says that a library could take a file name for something else, such as an address."""


class OutsideRootsError(PermissionError):
    """Says that a name leads out of the folders that the policy allows."""


def open_below(roots: Sequence[Path], path: Path, flags: int, mode: int = 0o666) -> int:
    """Open a file or folder below one of the roots, and return its descriptor.

    Args:
        roots: Absolute paths of folders. The first one that the path lies in counts.
        path: The file or folder. A relative path starts at the current folder.
        flags: What ``os.open`` takes.
        mode: The permissions of a file that is created.

    Raises:
        OutsideRootsError: The path is not below a root, or a link or ``..`` leads out of it.
        UnsafeNameError: The name could mislead a library.
        OSError: The file cannot be opened.
    """
    check_name(path)
    if restricts_nothing(roots):
        return os.open(path, flags, mode)
    root, names = _root_of(roots, path)
    folder = os.open(root, ON_THE_WAY)
    try:
        return _open_from(folder, names, flags | getattr(os, "O_CLOEXEC", 0), mode)
    except OutsideRootsError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(folder)


def check_below(roots: Sequence[Path], path: Path) -> None:
    """Raise OutsideRootsError if a path by its text is below no root, before anything is looked up.

    Args:
        roots: Absolute paths of folders.
        path: The file or folder.
    """
    if not restricts_nothing(roots):
        _root_of(roots, path)


def restricts_nothing(roots: Sequence[Path]) -> bool:
    """Return whether everything on the machine is below these roots."""
    return EVERYWHERE[0] in roots


def shared_roots(first: Sequence[Path], second: Sequence[Path]) -> tuple[Path, ...]:
    """Return the folders that lie below a root of both policies, where two policies are in force.

    Args:
        first: The roots of one policy, absolute and without ``..``.
        second: The roots of the other.
    """
    deeper = (
        max(one, other, key=lambda root: len(root.parts))
        for one in first
        for other in second
        if one.is_relative_to(other) or other.is_relative_to(one)
    )
    return tuple(dict.fromkeys(deeper))


def check_name(path: str | os.PathLike[str]) -> None:
    """Raise UnsafeNameError for a file name that a library could take for something else.

    C libraries end a name at a NUL character. htslib opens what looks like an address over the network, and
    takes what follows ``##idx##`` for the name of a second file.

    Args:
        path: The name.
    """
    name = os.fspath(path)
    if "\0" in name:
        raise UnsafeNameError("its name holds a NUL character")
    if "##idx##" in name:
        raise UnsafeNameError("its name holds ##idx##, after which some libraries read a second name")
    # pathlib turns :// into :/, which htslib takes for an address too.
    scheme, colon, rest = name.partition(":")
    begins_as_address = bool(colon) and rest.startswith("/") and "/" not in scheme and not IS_WINDOWS
    if "://" in name or begins_as_address:
        raise UnsafeNameError("its name is an address, and only files of this machine are opened")


def _root_of(roots: Sequence[Path], path: Path) -> tuple[Path, list[str]]:
    """Return the root that the path begins with, and the names that lead from there to the file.

    Names are compared byte for byte: neither case nor the form of an accent is overlooked.
    """
    if IS_WINDOWS:
        reason = "on Windows a policy cannot restrict folders"
        raise OutsideRootsError(errno.EXDEV, reason, str(path))
    parts = Path(os.getcwd(), path).parts
    for root in roots:
        for spelled in (root, Path(os.path.realpath(root))):
            n_parts = len(spelled.parts)
            if parts[:n_parts] == spelled.parts:
                return root, list(parts[n_parts:])
    raise _outside(path)


def _outside(path: object) -> OutsideRootsError:
    return OutsideRootsError(errno.EXDEV, "it lies outside the folders that the policy allows", str(path))


def _open_from(root: int, names: list[str], flags: int, mode: int) -> int:
    if has_openat2():
        try:
            return openat2(root, "/".join(names) or ".", flags, mode)
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise _outside("/".join(names)) from error
            if error.errno != errno.EAGAIN:  # Something was renamed meanwhile, and the kernel cannot tell.
                raise
    return walk(root, names, flags, mode)


@cache
def has_openat2() -> bool:
    """Return whether the kernel opens files below a folder by itself; Linux does since 5.6."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        folder = os.open("/", ON_THE_WAY)
        try:
            os.close(openat2(folder, ".", ON_THE_WAY | os.O_CLOEXEC, 0))
        finally:
            os.close(folder)
    except OSError:  # An older kernel, or a container's filter of system calls.
        return False
    return True


def walk(root: int, names: list[str], flags: int, mode: int) -> int:
    """Open what the names lead to, one by one, without leaving the folder ``root``.

    Raises:
        OutsideRootsError: A link or ``..`` leads out of the folder.
        OSError: The file cannot be opened.
    """
    pending, n_links = list(reversed(names)) or ["."], 0
    with ExitStack() as opened:
        folders = [root]
        while True:
            name, is_last = pending.pop(), not pending
            if name == "..":
                folders.pop()
                if not folders:
                    raise _outside("/".join(names))
                name = "."
            how = flags if is_last else ON_THE_WAY | os.O_CLOEXEC
            found, link = _open_one(folders[-1], name, how, mode)
            if link is None:
                if is_last:
                    return found
                opened.callback(os.close, found)
                if name != ".":
                    folders.append(found)
                continue
            n_links += 1
            if n_links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/".join(names))
            if link.startswith("/"):
                raise _outside("/".join(names))
            # A slash at the end of a link, as at that of a name, asks for a folder.
            pending += reversed([part for part in link.split("/") if part] + ["."] * link.endswith("/"))


def _open_one(folder: int, name: str, flags: int, mode: int) -> tuple[int, str | None]:
    """Open a name in a folder. If it is a link that is to be followed, return its text instead."""
    try:
        found = os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=folder)
    except OSError as error:
        is_link = error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)
        if not is_link or flags & os.O_NOFOLLOW:
            raise
        try:
            return -1, os.readlink(name, dir_fd=folder)
        except OSError:
            raise error from None
    opens_links = flags & getattr(os, "O_PATH", 0) and not flags & os.O_NOFOLLOW
    if opens_links and stat.S_ISLNK(os.fstat(found).st_mode):
        os.close(found)
        return -1, os.readlink(name, dir_fd=folder)
    return found, None
