"""The ledger: what was asked, what the policy answered, and how it ended, in a SQLite file that only grows.

Every entry is chained to the one before it. The entry of a request is committed and synced before anything
is opened; that of its outcome, which refers to it, is written at the end. A request without an outcome was
refused, still runs, or was killed. Nobody but the owner can read the file and its folder.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from biofm.gate.ledger import segments
from biofm.gate.ledger.book import Book
from biofm.gate.ledger.database import begin, ending, faults_of, wait_for
from biofm.gate.ledger.records import Outcome, clear_words, fields_of_request
from biofm.gate.ledger.schema import FORMAT
from biofm.gate.ledger.texts import SegmentKey, key_of_segment
from biofm.policy import Request, Verdict


@dataclass(frozen=True, slots=True)
class Ledger:
    """Writes the ledger, which is created at the first entry. Many processes and threads may use it at once.

    Attributes:
        path: The file of the ledger.
        texts: "keyed" writes keyed hashes in place of paths, names and free texts.
        key: The file of the keys, for keyed texts. It lies outside the ledger's folder, and is created with
            the mode 0600.
    """

    path: Path
    texts: Literal["plain", "keyed"] = "plain"
    key: Path | None = None

    def __post_init__(self) -> None:
        if self.texts not in ("plain", "keyed") or (self.texts == "keyed") != (self.key is not None):
            raise ValueError("texts are plain, or keyed with a file of keys")

    @contextmanager
    def writing(self) -> Iterator[Book]:
        """Begin a transaction: ``with ledger.writing() as book:``.

        All that the book is asked is answered by one state, and no other process can write meanwhile. What it
        wrote is on the disk when the ``with`` has ended; after an exception nothing of it is kept.

        Raises:
            LedgerError: The ledger cannot be written.
        """
        with faults_of(self.path):
            connection = begin(self.path)
        with ending(connection):
            with faults_of(self.path):
                if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                    segments.start(connection, self.path)
                elif segments.is_full(connection):
                    segments.archive(connection, self.path)

            @cache
            def key() -> SegmentKey:
                assert self.key is not None, "keyed texts have a file of keys"
                with faults_of(self.path):
                    first = segments.current_segment(connection, self.path)
                return key_of_segment(self.key, self.path, first["ledger"], first["segment"])

            yield Book(connection, self.path, key if self.texts == "keyed" else None)
            with faults_of(self.path):
                wait_for(connection, self.path, "COMMIT")

    def remember(self, request: Request, verdict: Verdict) -> int:
        """Append a request and its verdict, and return the number of the entry.

        Args:
            request: What was asked.
            verdict: What the policy answered.

        Raises:
            LedgerError: The entry cannot be written.
        """
        with self.writing() as book:
            return book.append("request", fields_of_request(request, verdict), clear_words(request))

    def conclude(self, entry: int, outcome: Outcome, error: str = "") -> None:
        """Append how a request ended.

        Args:
            entry: The number that ``remember`` returned for the request.
            outcome: How it ended.
            error: The class of the error that ended it, without the message; empty if there was none.

        Raises:
            LedgerError: The outcome cannot be written.
        """
        with self.writing() as book:
            book.append("outcome", {"request": entry, "outcome": outcome, "error": error})
