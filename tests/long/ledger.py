"""The ledger under damage and kills: 1,000 random bytes of its file are changed, then each byte of each field
of 200 entries in the database, and eight processes that write are killed in 200 rounds. Every change is
found, and nothing is lost that was acknowledged. Some ten minutes.
"""

import argparse
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "kernels"), str(ROOT / "datasets")]

from biofm.gate.ledger.verify import verify  # noqa: E402
from tests.gate.ledger.damage import TRIGGERS, changed_rows, fill, rows_in, unreported_bytes  # noqa: E402

KILLS = ROOT / "tests" / "gate" / "ledger" / "kills.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--bytes", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20)
    wanted = parser.parse_args()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite3"
        fill(path, wanted.rows)
        missed = unreported_bytes(path, Path(folder) / "damaged.sqlite3", wanted.bytes, wanted.seed)
        print(f"{wanted.bytes} random bytes of the file: {len(missed)} missed {missed}", flush=True)
        n_changes, unnoticed = change_all(path)
        print(f"{n_changes} changed bytes of fields: {len(unnoticed)} missed {unnoticed[:5]}", flush=True)
    command = [sys.executable, str(KILLS), "--rounds", str(wanted.rounds), "--seed", str(wanted.seed)]
    killed = subprocess.run(command, check=False)
    return 1 if missed or unnoticed or killed.returncode else 0


def change_all(path: Path) -> tuple[int, list[int]]:
    """Change each byte of each field in the database, and return the entries whose change nobody noticed."""
    n_changes, unnoticed, rows = 0, [], rows_in(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        triggers = connection.execute(TRIGGERS).fetchall()
        for row in rows:
            for changed in changed_rows(row):
                if changed[0] != row[0] and any(changed[0] == one[0] for one in rows):
                    continue  # The database has one entry of each number.
                put(connection, triggers, row[0], changed)
                if not verify(path).findings:
                    unnoticed.append(row[0])
                put(connection, triggers, changed[0], row)
                n_changes += 1
    return n_changes, unnoticed


def put(
    connection: sqlite3.Connection, triggers: list[tuple[str, str]], number: int, row: tuple[object, ...]
) -> None:
    """Put an entry in the place of another, without the triggers."""
    connection.execute("BEGIN")
    connection.execute("DROP TRIGGER entries_update")
    connection.execute("UPDATE entries SET seq = ?, body = ?, hash = ? WHERE seq = ?", (*row, number))
    connection.execute(dict(triggers)["entries_update"])
    connection.execute("COMMIT")


if __name__ == "__main__":
    sys.exit(main())
