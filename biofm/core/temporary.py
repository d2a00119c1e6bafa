"""Temporary folders: where they are created, and which of them are removed if the process ends by force."""

import tempfile
from pathlib import Path

from biofm.core.errors import OutputError

FREE_TEMPORARY = "Free some space, or set TMPDIR to another folder for temporary files"

_to_remove: set[Path] = set()


def temporary_folder() -> Path:
    """Return the folder for temporary files: the folder in TMPDIR, or the system's.

    Raises:
        OutputError: None of them can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        what = f"no folder for temporary files can be used ({error.strerror})"
        raise OutputError(what, where="TMPDIR", remedy=FREE_TEMPORARY) from error


def remove_at_forced_end(folder: Path) -> None:
    """Register a folder, which ``biofm.core.signals`` removes if it ends the process by force."""
    _to_remove.add(folder)


def keep_at_forced_end(folder: Path) -> None:
    """Undo ``remove_at_forced_end`` for a folder that is removed already or no longer used."""
    _to_remove.discard(folder)


def folders_to_remove() -> list[Path]:
    """Return the folders that a forced end removes."""
    return list(_to_remove)
