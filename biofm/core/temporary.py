"""Temporary folders: where they are made, and which are removed if the process ends by force."""

import tempfile
from pathlib import Path

from biofm.core.errors import OutputError

FREE_TEMPORARY = "Free some space, or name another folder for temporary files in TMPDIR"

_to_remove: set[Path] = set()


def temporary_folder() -> Path:
    """Return the folder for temporary files: the one that TMPDIR names, or the system's.

    Raises OutputError where none of them can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        what = f"no folder for temporary files can be used ({error.strerror})"
        raise OutputError(what, where="TMPDIR", remedy=FREE_TEMPORARY) from error


def remove_at_forced_end(folder: Path) -> None:
    """Have this folder and its contents removed if ``biofm.core.signals`` ends the process by force."""
    _to_remove.add(folder)


def keep_at_forced_end(folder: Path) -> None:
    """Undo ``remove_at_forced_end``, for a folder that is gone or was given up."""
    _to_remove.discard(folder)


def folders_to_remove() -> list[Path]:
    """Return the folders that a forced end removes."""
    return list(_to_remove)
