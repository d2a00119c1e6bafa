"""Targets are checked here before any work, and output folders are created."""

import errno
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from biofm.core.errors import OutputError, RefusedError
from biofm.gate.roots import (
    ON_THE_WAY,
    OutsideRootsError,
    UnsafeNameError,
    check_below,
    check_name,
    open_below,
    restricts_nothing,
)
from biofm.policy import Target

MORE_SPACE = "Free some space there, or write to another disk"


def check_file(target: Target) -> None:
    """Raise OutputError if the file of ``target`` must not be written."""
    path = target.path
    check_parent(path)
    if os.path.isdir(path):
        raise OutputError("this is a folder, not a file", where=str(path), remedy="Name a file inside it")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError("this is not an ordinary file", where=str(path), remedy="Choose another name")
    if os.path.exists(path) and not target.overwrite:
        remedy = "Pass --overwrite to replace it, or choose another name"
        raise OutputError("the file already exists", where=str(path), remedy=remedy)


def check_parent(path: Path) -> None:
    """Raise OutputError if the folder that ``path`` lies in does not exist."""
    if os.path.isdir(path.parent):
        return
    if os.path.exists(path.parent):
        raise OutputError(
            f"{path.parent} is a file, not a folder", where=str(path), remedy="Choose another folder"
        )
    remedy = f"Create it first: mkdir -p {path.parent}"
    raise OutputError(f"there is no folder {path.parent}", where=str(path), remedy=remedy)


def reason_of(error: OSError | ValueError) -> str:
    """Return why a file cannot be opened.

    Python raises ValueError for a name with a NUL character, and its message varies.
    """
    if isinstance(error, UnsafeNameError):
        return str(error)
    return str(error.strerror) if isinstance(error, OSError) else "its name holds a NUL character"


def unwritable(path: Path, error: OSError | ValueError) -> OutputError:
    """Return the OutputError for a file or folder at ``path`` that cannot be written."""
    reason = reason_of(error)
    remedy = "Choose another folder, or check its permissions and its free space"
    return OutputError(f"nothing can be written there ({reason})", where=str(path), remedy=remedy)


def outside(path: Path, error: OutsideRootsError) -> RefusedError:
    """Return the RefusedError for a file or folder that lies outside the folders that the policy allows."""
    remedy = "Give a path inside them, without .. and without links that lead elsewhere"
    return RefusedError(
        f"the policy does not allow this path: {error.strerror}", where=str(path), remedy=remedy
    )


def check_place(path: Path, roots: Sequence[Path]) -> None:
    """Check where a target lies, before anything is looked up there.

    Raises:
        OutputError: A library could take the name of the target for something else.
        RefusedError: The target, or the folder that a link leads to, lies outside the roots.
    """
    try:
        check_name(path)
        check_below(roots, path)
    except UnsafeNameError as error:
        raise unwritable(path, error) from error
    except OutsideRootsError as error:
        raise outside(path, error) from error


def check_folder(folder: Path, roots: Sequence[Path]) -> None:
    """Raise RefusedError if a folder that exists lies outside the roots, or a link leads out of them."""
    if restricts_nothing(roots):
        return
    with suppress(FileNotFoundError, NotADirectoryError):  # Who creates it says so.
        try:
            os.close(open_below(roots, folder, ON_THE_WAY))
        except OutsideRootsError as error:
            raise outside(folder, error) from error


def open_folder(target: Target, roots: Sequence[Path]) -> Path:
    """Return the folder of ``target``, and create it if it does not exist.

    With ``overwrite`` it may hold files, which stay until they are overwritten. It may itself be a symbolic
    link, but no link inside it may lead out of it.

    Raises:
        RefusedError: It lies outside the roots, or a link leads out of them.
        OutputError: It is a file, it holds files and ``overwrite`` is not set, a link leads out of it, or it
            cannot be written.
    """
    path = target.path
    check_place(path, roots)
    check_folder(path.parent, roots)
    check_folder(path, roots)
    check_parent(path)
    if os.path.lexists(path) and not os.path.isdir(path):
        raise OutputError("this is a file, not a folder", where=str(path), remedy="Choose another name")
    try:
        path.mkdir(exist_ok=True)
        if os.listdir(path) and not target.overwrite:
            remedy = "Pass --overwrite to write into it anyway, or choose another folder"
            raise OutputError("the folder is not empty", where=str(path), remedy=remedy)
        _check_links(path)
        trial = path / f".biofm-{secrets.token_hex(4)}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def _check_links(folder: Path) -> None:
    """Raise OutputError if a symbolic link leads out of ``folder``.

    The folder may come from a stranger, and a run would write and remove files wherever the link leads.
    """
    root = os.path.realpath(folder)
    for place, folders, files in os.walk(root):
        for path in (os.path.join(place, name) for name in (*folders, *files)):
            if os.path.islink(path) and not os.path.realpath(path).startswith(os.path.join(root, "")):
                what = f"this is a link out of the folder, to {os.path.realpath(path)}"
                remedy = "Remove the link, or replace it by a copy of its target"
                raise OutputError(what, where=path, remedy=remedy)


def check_space(folders: Sequence[Path], error: OSError) -> None:
    """Raise OutputError if ``error``, raised by a write into ``folders``, means that a disk is full."""
    if folders and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        what = f"writing failed ({error.strerror})"
        fault = OutputError(what, where=str(folders[0]), remedy=MORE_SPACE)
        for note in getattr(error, "__notes__", ()):  # A note may say which work is kept.
            fault.add_note(note)
        raise fault from error
