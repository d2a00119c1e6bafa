"""The fold: how each entry changes the side tables.

The same statements write the tables of the ledger, and those in memory with which ``verify`` compares them.
"""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

MOST_LABELS = 2**31 - 1
WITHIN = "/"
"""Stands in the handle of a session within another one, between the handle of that one and its own part."""


def parent_of(session: str) -> str:
    """Return the handle of the session within which a session was opened; "" if there is none.

    Args:
        session: The handle of a session.
    """
    return session.rpartition(WITHIN)[0]


def apply(cursor: sqlite3.Cursor, seq: int, fields: Mapping[str, Any]) -> None:
    """Apply an entry to the side tables.

    Args:
        cursor: A cursor of the database that holds the tables.
        seq: The number of the entry.
        fields: What the entry says.

    Raises:
        ValueError: The entry lacks a field, a field has another type, or what it changes is not there.
    """
    change = CHANGES.get(fields["kind"])
    if change is not None:
        change(cursor, seq, fields)


def _session(cursor: sqlite3.Cursor, seq: int, fields: Mapping[str, Any]) -> None:
    holder, session = _text(fields, "holder"), _text(fields, "session")
    if _word(fields, "action", ("opened", "closed")) == "opened":
        parent = parent_of(session)
        if parent and (parent_of(parent) or parent not in _open_sessions(cursor, holder)):
            raise ValueError(f"the session {parent!r} of {holder!r} cannot have another one within it")
        _open(cursor, seq, holder, session, _labels(fields))
        return
    if session and any(parent_of(one) == session for one in _open_sessions(cursor, holder)):
        raise ValueError(f"the session {session!r} of {holder!r} has open ones within it")
    change = "UPDATE holders SET closed_seq = ? WHERE holder = ? AND session = ? AND closed_seq = 0"
    if not cursor.execute(change, (seq, holder, session)).rowcount:
        raise ValueError(f"the session {session!r} of {holder!r} is not open")


def _open_sessions(cursor: sqlite3.Cursor, holder: str) -> list[str]:
    query = "SELECT session FROM holders WHERE holder = ? AND closed_seq = 0"
    found = (session for (session,) in cursor.execute(query, (holder,)))
    return [one.decode() if isinstance(one, bytes) else one for one in found]  # as verify's connection has it


def _label(cursor: sqlite3.Cursor, seq: int, fields: Mapping[str, Any]) -> None:
    holder, session, labels = _text(fields, "holder"), _text(fields, "session"), _labels(fields)
    change = "UPDATE holders SET labels = labels | ? WHERE holder = ? AND session = ? AND closed_seq = 0"
    if cursor.execute(change, (labels, holder, session)).rowcount:
        return
    if session:
        raise ValueError(f"the session {session!r} of {holder!r} is not open")
    _open(cursor, seq, holder, session, labels)  # What comes without a handle has a session without a name.


def _open(cursor: sqlite3.Cursor, seq: int, holder: str, session: str, labels: int) -> None:
    try:
        cursor.execute("INSERT INTO holders VALUES (?, ?, ?, ?, 0)", (holder, session, labels, seq))
    except sqlite3.IntegrityError as error:
        raise ValueError(f"the session {session!r} of {holder!r} is open already") from error


def _approval(cursor: sqlite3.Cursor, seq: int, fields: Mapping[str, Any]) -> None:
    action = _word(fields, "action", ("given", "declined", "used"))
    if action == "declined":
        return
    if action == "given":
        row = (seq, _text(fields, "request_hash"), _text(fields, "holder"), _number(fields, "expires"))
        cursor.execute("INSERT INTO approvals VALUES (?, ?, ?, ?, 0)", row)
        return
    given = _number(fields, "approval")
    change = "UPDATE approvals SET used = ? WHERE seq = ? AND used = 0"
    if not cursor.execute(change, (seq, given)).rowcount:
        raise ValueError(f"the approval of entry {given} cannot be used")


def _output(cursor: sqlite3.Cursor, seq: int, fields: Mapping[str, Any]) -> None:
    device, inode, ctime_ns, sha256, holder = (
        _text(fields, name) for name in ("device", "inode", "ctime_ns", "sha256", "holder")
    )
    cursor.execute(
        """INSERT INTO outputs VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET labels = labels | excluded.labels, holder = excluded.holder""",
        (device, inode, _number(fields, "size"), ctime_ns, sha256, _labels(fields), holder),
    )


CHANGES: Mapping[str, Callable[[sqlite3.Cursor, int, Mapping[str, Any]], None]] = {
    "session": _session,
    "label": _label,
    "approval": _approval,
    "output": _output,
}
"""The kinds of entries that change a side table."""


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not a text")
    return value


def _number(fields: Mapping[str, Any], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{name} is {value!r}, not a whole number from 0 on")
    return value


def _labels(fields: Mapping[str, Any]) -> int:
    value = _number(fields, "labels")
    if value > MOST_LABELS:
        raise ValueError(f"labels are {value}, more than there are")
    return value


def _word(fields: Mapping[str, Any], name: str, words: tuple[str, ...]) -> str:
    value = _text(fields, name)
    if value not in words:
        raise ValueError(f"{name} is {value!r}, not one of {', '.join(words)}")
    return value
