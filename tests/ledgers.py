"""Opens a ledger for a test that asks about requests and their outcomes: each is a view on the entries."""

import sqlite3
from pathlib import Path

FIELDS = ("time", "principal", "user", "verb", "model", "reads", "writes", "hosts", "options", "decision")
OF_REQUESTS, OF_OUTCOMES = (
    ", ".join(f"json_extract(body, '$.{name}') AS {name}" for name in names)
    for names in ((*FIELDS, "rule", "reason"), ("request", "time", "outcome", "error"))
)
VIEWS = f"""
CREATE TEMP VIEW requests AS SELECT seq AS id, {OF_REQUESTS}
    FROM entries WHERE json_extract(body, '$.kind') = 'request';
CREATE TEMP VIEW outcomes AS SELECT {OF_OUTCOMES}
    FROM entries WHERE json_extract(body, '$.kind') = 'outcome';
"""


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open a ledger with the views ``requests`` and ``outcomes``."""
    connection = sqlite3.connect(path)
    connection.executescript(VIEWS)
    return connection
