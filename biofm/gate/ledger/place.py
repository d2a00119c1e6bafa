"""Where the ledger lies."""

from pathlib import Path

from biofm.core.errors import LedgerError
from biofm.gate import system


def ledger_path() -> Path:
    """Return the path of the ledger, ``ledger.sqlite3`` in the folder in which the account keeps its state.

    Raises:
        LedgerError: The account has neither such a folder nor a home folder.
    """
    folder = system.state_folder()
    if folder is None:
        way = another_place()
        raise LedgerError("there is no home folder to keep the ledger in", remedy=way[0].upper() + way[1:])
    return folder / "ledger.sqlite3"


def another_place() -> str:
    """Return how the ledger gets another place, as the rest of a sentence that begins with "Or"."""
    if system.read_system_file() is None:
        return "set XDG_STATE_HOME to the absolute path of a folder that you can write to"
    return f"let root name another folder for ledgers in {system.SYSTEM_FILE}"
