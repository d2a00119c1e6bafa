"""Damages a ledger in every way that its tests and its long proof try."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from biofm.core import LedgerError
from biofm.gate import Ledger
from biofm.gate.ledger import FileIdentity
from biofm.gate.ledger.entries import NO_HASH
from biofm.gate.ledger.reading import Row, entries_of, rows_of
from biofm.gate.ledger.verify import faults_of_rows, verify

N_ROWS = 200
TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"


def fill(path: Path, n_rows: int = N_ROWS) -> None:
    """Write a ledger of so many entries, of every kind."""
    number = 1  # the first entry begins the segment
    with Ledger(path).writing() as book:
        while number < n_rows:
            holder = f"holder {number % 7}"
            step = number % 8
            if step == 0:
                book.append(
                    "request", {"verb": "embed", "user": holder, "options": {"a": 0.5, "b": [number, None]}}
                )
            elif step == 1:
                book.append("outcome", {"request": number - 1, "outcome": "completed", "error": ""})
            elif step == 2:
                book.append("label", {"holder": holder, "session": "", "labels": number % 16})
            elif step == 3:
                book.open_session(holder)
            elif step == 4:
                identity = FileIdentity(2**63, number, 10 * number, 10**18 + number)
                book.note_output(
                    identity, f"{number:064x}", number % 16, holder, path=f"/é{number}", request=1
                )
            elif step == 5 and number + 2 <= n_rows:
                book.note_approval(f"{number:064x}", holder, 2**33)
                book.use_approval(f"{number:064x}", holder, 0)
                number += 1
            else:
                book.append("confinement", {"refused": "socket", "file": "name\udce9"})
            number += 1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == (n_rows,)


def rows_in(path: Path) -> list[Row]:
    """Return the entries as verification sees them."""
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        return rows_of(connection)


def changed_values(value: str) -> Iterator[str]:
    """Yield the text with each of its bytes changed in turn."""
    content = value.encode("ascii")
    for place, byte in enumerate(content):
        other = byte ^ (1 + place % 15)
        yield (content[:place] + bytes([other]) + content[place + 1 :]).decode("ascii")


def changed_rows(row: Row) -> Iterator[Row]:
    """Yield an entry with each byte of each of its fields changed in turn."""
    number, body, hash_ = row
    assert isinstance(body, str)
    assert isinstance(hash_, str)
    yield from ((number, one, hash_) for one in changed_values(body))
    yield from ((number, body, one) for one in changed_values(hash_))
    yield from ((number ^ (byte << 8 * place), body, hash_) for place in range(7) for byte in (1, 7))


def faults_around(rows: list[Row], place: int, changed: Row) -> list[str]:
    """Return what is wrong with a chain in which one entry is another, by the three entries around it."""
    number, previous = (rows[place - 1][0], str(rows[place - 1][2])) if place else (0, NO_HASH)
    return list(faults_of_rows([changed, *rows[place + 1 : place + 2]], number, previous))


def patch(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Change a ledger as its owner can: without the triggers, which stand again afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        triggers = connection.execute(TRIGGERS).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("PRAGMA ignore_check_constraints = 1")
        for statement, values in statements:
            connection.execute(statement, values)
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")


def export_of(path: Path) -> list[str] | None:
    """Return the exported lines, or None if the ledger cannot be exported."""
    try:
        return [entry.line for entry in entries_of(path)]
    except LedgerError:
        return None


def unreported_bytes(path: Path, scratch: Path, n_bytes: int, seed: int) -> list[tuple[int, int]]:
    """Return which random changes of one byte of the file alter the export and are not reported."""
    generator = random.Random(seed)
    content, whole = path.read_bytes(), export_of(path)
    missed = []
    for _ in range(n_bytes):
        place, flip = generator.randrange(len(content)), generator.randrange(1, 256)
        for leftover in scratch.parent.glob(f"{scratch.name}*"):
            leftover.unlink()
        scratch.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        if not verify(scratch).findings and export_of(scratch) != whole:
            missed.append((place, flip))
    return missed
