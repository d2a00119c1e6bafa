"""Holders: under whose name labels are kept, and which session brought them.

A holder is an account on the command line and in Python. Its labels are the union of those of its open
sessions, in whichever process they rose: a session is a name for a part of the work, and never narrows what
its holder is judged by. So a new process, a session that is left out, another one or a fresh one sheds no
label. Only ``biofm policy reset``, which a person confirms at a terminal, ends sessions with their labels. A
session may be within another one, and returns its labels to it when it ends alone.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from biofm.policy import PERSON, Principal

VARIABLE = "BIOFM_SESSION"
NO_SESSION = ""
"""What a request without a handle belongs to."""
_NAMED: list[str] = []  # by this process


def holder_of(principal: Principal) -> str:
    """Return the name under which the labels of a principal are kept: a digest that names nobody.

    It is that of the account, of whatever kind: an account keeps its labels when the system's file calls it
    an agent's, or no longer does.

    Args:
        principal: Who asks.
    """
    text = f"{PERSON}\0{principal.name}".encode(errors="backslashreplace")
    return hashlib.sha256(text).hexdigest()[:16]


@contextmanager
def session_in_force(session: str) -> Iterator[None]:
    """Let the requests within the ``with`` belong to a session, in all threads of this process.

    Args:
        session: The handle that ``biofm policy begin`` printed.
    """
    _NAMED.append(session)
    try:
        yield
    finally:
        _NAMED.remove(session)


def current_session() -> str:
    """Return the handle that this process names, by an option or by ``BIOFM_SESSION``; "" without one."""
    return _NAMED[-1] if _NAMED else os.environ.get(VARIABLE, NO_SESSION)
