"""The book: what is asked and written within one transaction is decided on one state of the ledger."""

import os
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from biofm.core.errors import RefusedError
from biofm.gate.ledger import fold
from biofm.gate.ledger.database import faults_of
from biofm.gate.ledger.entries import KINDS, Entry, Kind, chained, now
from biofm.gate.ledger.fold import WITHIN, parent_of
from biofm.gate.ledger.texts import Choices, SegmentKey

ApprovalState = Literal["none", "live", "used", "expired", "other"]
"""Whether a request is approved: live allows it once, other means that another request is approved."""
NO_CHOICES: Choices = {}
OF_ENTRIES = ("kind", "time")
LONGEST_SHOWN = 40
"""How many characters of a handle that is none are shown."""


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Identifies a file that has not been changed.

    Attributes:
        device: The number of its file system.
        inode: Its number there.
        size: Its size in bytes.
        ctime_ns: When its content or its inode was last changed, in nanoseconds.
    """

    device: int
    inode: int
    size: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "FileIdentity":
        """Return the identity of the file of which ``os.stat`` speaks.

        Args:
            status: What ``os.stat`` or ``os.fstat`` returned.
        """
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


class Book:
    """Reads and writes the ledger within one transaction. ``Ledger.writing`` gives it.

    Args:
        connection: The connection, which has begun the transaction.
        path: The file of the ledger, for messages.
        key: Returns the key of this segment; None if texts stay as they are.
    """

    def __init__(
        self, connection: sqlite3.Connection, path: Path, key: Callable[[], SegmentKey] | None
    ) -> None:
        self._connection = connection
        self._path = path
        self._key = key

    def append(self, kind: Kind, fields: Mapping[str, Any], choices: Choices = NO_CHOICES) -> int:
        """Append an entry, change the side tables as it says, and return its number.

        Args:
            kind: The kind of the entry.
            fields: What the entry says: values that JSON can hold. The time is added.
            choices: The words that stay in clear where texts are keyed, by the name of their field.

        Raises:
            LedgerError: The entry cannot be written.
            ValueError: A field has no place in the ledger.
        """
        if kind not in KINDS or kind == "segment":
            raise ValueError(f"{kind!r} is no kind of entry that can be appended")
        if taken := [name for name in OF_ENTRIES if name in fields]:
            raise ValueError(f"the field {taken[0]} belongs to every entry")
        if self._key is not None:
            fields = self._key().fields(fields, choices)
        fields = {"kind": kind, "time": now(), **fields}
        with faults_of(self._path):
            cursor = self._connection.cursor()
            row = cursor.execute("SELECT seq, body, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
            last = Entry(*row)
            entry = chained(last.hash, last.seq + 1, fields)
            fold.apply(cursor, entry.seq, fields)
            cursor.execute("INSERT INTO entries VALUES (?, ?, ?)", (entry.seq, entry.body, entry.hash))
        return entry.seq

    def held(self, holder: str) -> int:
        """Return the labels of a holder: the union of those of all its open sessions.

        Args:
            holder: Who holds them.
        """
        held = 0
        for labels in self.sessions(holder).values():
            held |= labels
        return held

    def sessions(self, holder: str) -> dict[str, int]:
        """Return the labels of each open session of a holder. What came without a handle is under "".

        Args:
            holder: Who holds them.
        """
        query = "SELECT session, labels FROM holders WHERE holder = ? AND closed_seq = 0 ORDER BY session"
        return dict(self._rows(query, holder))

    def raise_labels(self, holder: str, session: str, labels: int) -> None:
        """Add labels to a session. Nothing is written if it has them already.

        Args:
            holder: Who holds the session.
            session: The handle; "" without one.
            labels: The labels to add.

        Raises:
            RefusedError: The holder has no such open session.
            LedgerError: They cannot be written.
        """
        held = self.sessions(holder)
        if session and session not in held:
            raise _not_open(session)
        if labels & ~held.get(session, 0):
            self.append("label", {"holder": holder, "session": session, "labels": labels})

    def open_session(self, holder: str, parent: str = "") -> str:
        """Open a session that starts with all labels of its holder, and return its handle.

        Args:
            holder: Who is to hold it.
            parent: The handle of the session within which it is opened, and with which the handle begins; ""
                without one.

        Raises:
            RefusedError: The holder has no such open session, or that one is within another.
            LedgerError: It cannot be written.
        """
        if parent and parent not in self.sessions(holder):
            raise _not_open(parent)
        if parent_of(parent):
            what = f"{parent} is within another session, and a session within it would be a third level"
            remedy = f"Begin it within {parent_of(parent)}, which --session or BIOFM_SESSION names"
            raise RefusedError(what, where="session", remedy=remedy)
        session = f"{parent}{WITHIN}" * bool(parent) + secrets.token_hex(8)
        fields = {"action": "opened", "holder": holder, "session": session, "labels": self.held(holder)}
        self.append("session", fields)
        return session

    def close_session(self, holder: str, session: str) -> int:
        """Close a session and those within it, and return how many were closed.

        Their labels then no longer count; a session within another one returns them to it.

        Args:
            holder: Who holds the session.
            session: The handle; "" for what came without one.

        Raises:
            RefusedError: The holder has no such open session.
            LedgerError: It cannot be written.
        """
        held = self.sessions(holder)
        if session not in held:
            raise _not_open(session)
        if parent := parent_of(session):
            self.raise_labels(holder, parent, held[session])
        ended = [one for one in held if session and parent_of(one) == session] + [session]
        for one in ended:
            fields = {"action": "closed", "holder": holder, "session": one, "labels": held[one]}
            self.append("session", fields)
        return len(ended)

    def close_all(self, holder: str) -> int:
        """Close all sessions of a holder and what came without one, and return how many were closed.

        Args:
            holder: Who holds them.

        Raises:
            LedgerError: It cannot be written.
        """
        outer = [one for one in self.sessions(holder) if not parent_of(one)]
        return sum(self.close_session(holder, one) for one in outer)

    def note_output(
        self, identity: FileIdentity, sha256: str, labels: int, holder: str, *, path: str, request: int
    ) -> None:
        """Note a file that biofm has made, with the labels of what it was made from.

        Args:
            identity: The finished file.
            sha256: The hash of its content, in hexadecimal; empty if it is not known.
            labels: The labels of the inputs.
            holder: Who had it made.
            path: Where it lies.
            request: The entry of the request that made it.

        Raises:
            LedgerError: It cannot be written.
        """
        fields = {
            # As texts, because JSON's readers round numbers of this size.
            "device": str(identity.device), "inode": str(identity.inode), "size": identity.size,
            "ctime_ns": str(identity.ctime_ns), "sha256": sha256, "labels": labels, "holder": holder,
            "path": path, "request": request,
        }  # fmt: skip
        self.append("output", fields)

    def labels_of_output(self, identity: FileIdentity, sha256: str = "") -> int | None:
        """Return the labels of a file that biofm has made, or None if it has made no such file.

        A copy of such a file is known by its size and hash. Where several files match, all labels count.

        Args:
            identity: The file.
            sha256: The hash of its content, in hexadecimal; empty if it is not known.
        """
        found = [labels for labels, _ in self._outputs(identity, sha256)]
        if not found:
            return None
        union = 0
        for labels in found:
            union |= labels
        return union

    def knows_content_of(self, size: int) -> bool:
        """Return whether biofm has noted the hash of a file of this size, so that a copy of it can be known.

        Args:
            size: The size in bytes.
        """
        return bool(self._rows("SELECT 1 FROM outputs WHERE size = ? AND sha256 <> '' LIMIT 1", size))

    def makers_of_output(self, identity: FileIdentity, sha256: str = "") -> frozenset[str]:
        """Return the holders who had a file made, as far as biofm has made it.

        Args:
            identity: The file.
            sha256: The hash of its content, in hexadecimal; empty if it is not known.
        """
        return frozenset(holder for _, holder in self._outputs(identity, sha256))

    def _outputs(self, identity: FileIdentity, sha256: str) -> list[tuple[int, str]]:
        same = "device = ? AND inode = ? AND size = ? AND ctime_ns = ?"
        given = (str(identity.device), str(identity.inode), identity.size, str(identity.ctime_ns))
        found = self._rows(f"SELECT labels, holder FROM outputs WHERE {same}", *given)
        if sha256:
            copies = "SELECT labels, holder FROM outputs WHERE size = ? AND sha256 = ?"
            found += self._rows(copies, identity.size, sha256)
        return found

    def note_approval(self, request_hash: str, holder: str, expires: int, *, login: int = -1) -> int:
        """Note that a person has approved one request of a holder, and return the number of the entry.

        Args:
            request_hash: The hash of exactly this request.
            holder: Who asked.
            expires: Until when it can be used, in seconds since 1970 (UTC).
            login: The number of the account that logged in at the terminal; -1 if that is not known.

        Raises:
            LedgerError: It cannot be written.
        """
        fields = {
            "action": "given", "holder": holder, "request_hash": request_hash, "expires": expires,
            "login": login,
        }  # fmt: skip
        return self.append("approval", fields)

    def note_decline(self, request_hash: str, holder: str, *, login: int = -1) -> int:
        """Note that a person was asked about a request and did not approve it; return the entry's number.

        Args:
            request_hash: The hash of exactly this request.
            holder: Who asked.
            login: The number of the account that logged in at the terminal; -1 if that is not known.

        Raises:
            LedgerError: It cannot be written.
        """
        fields = {"action": "declined", "holder": holder, "request_hash": request_hash, "login": login}
        return self.append("approval", fields)

    def approval(self, request_hash: str, holder: str, now_s: float) -> ApprovalState:
        """Return whether a request of a holder is approved.

        Args:
            request_hash: The hash of exactly this request.
            holder: Who asks.
            now_s: The present time, in seconds since 1970 (UTC).
        """
        query = "SELECT request_hash, expires, used FROM approvals WHERE holder = ?"
        states = {"none"}
        for found, expires, used in self._rows(query, holder):
            is_live = not used and now_s < expires
            if found != request_hash:
                states |= {"other"} if is_live else set()
            else:
                states.add("live" if is_live else "used" if used else "expired")
        for state in ("live", "used", "expired", "other"):
            if state in states:
                return state
        return "none"

    def use_approval(self, request_hash: str, holder: str, now_s: float) -> bool:
        """Use up the approval of a request, and return whether there was a live one.

        Args:
            request_hash: The hash of exactly this request.
            holder: Who asks.
            now_s: The present time, in seconds since 1970 (UTC).

        Raises:
            LedgerError: It cannot be written.
        """
        query = """SELECT seq FROM approvals WHERE holder = ? AND request_hash = ? AND used = 0
            AND expires > ? ORDER BY expires LIMIT 1"""
        found = self._rows(query, holder, request_hash, now_s)
        if not found:
            return False
        fields = {
            "action": "used", "holder": holder, "request_hash": request_hash, "approval": found[0][0],
        }  # fmt: skip
        self.append("approval", fields)
        return True

    def _rows(self, query: str, *values: str | int | float) -> list[Any]:
        with faults_of(self._path):
            return self._connection.execute(query, values).fetchall()


def _not_open(session: str) -> RefusedError:
    what = f"{session[:LONGEST_SHOWN]!r} is no open session of this account"
    return RefusedError(
        what, where="session", remedy="Name a handle that `biofm policy begin` printed, or none"
    )
