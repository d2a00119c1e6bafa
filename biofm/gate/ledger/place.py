"""Where the ledger lies by default."""

import os
import sys
from pathlib import Path

from biofm.core.errors import LedgerError

ANOTHER = "XDG_STATE_HOME to the absolute path of a folder that you can write to"


def ledger_path() -> Path:
    """Return the path of the ledger, ``$XDG_STATE_HOME/biofm/ledger.sqlite3``.

    The default of ``XDG_STATE_HOME`` is ``~/.local/state`` (on Windows, ``%LOCALAPPDATA%``). A relative one
    is ignored, as the XDG Base Directory Specification demands.

    Raises:
        LedgerError: There is neither a state folder nor a home folder.
    """
    folders = [os.environ.get("XDG_STATE_HOME", ""), os.path.expanduser("~/.local/state")]
    if sys.platform == "win32":
        folders.insert(1, os.environ.get("LOCALAPPDATA", ""))
    for folder in folders:
        if os.path.isabs(folder):
            return Path(folder) / "biofm" / "ledger.sqlite3"
    raise LedgerError("there is no home folder to keep the ledger in", remedy=f"Set {ANOTHER}")
