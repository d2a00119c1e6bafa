"""The folder for temporary files, where there is one."""

import tempfile
from pathlib import Path

from biofm.core.errors import OutputError

FREE_TEMPORARY = "Free some space, or name another folder for temporary files in TMPDIR"


def temporary_folder() -> Path:
    """The one that TMPDIR names, or the system's. Raises OutputError where none can be written to."""
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        what = f"no folder for temporary files can be used ({error.strerror})"
        raise OutputError(what, where="TMPDIR", remedy=FREE_TEMPORARY) from error
