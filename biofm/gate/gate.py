"""The gate, which every verb passes: ask the policy, remember the verdict, open what was allowed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from biofm.core.errors import LedgerError, RefusedError
from biofm.gate.ledger import Ledger, Outcome, ledger_path
from biofm.gate.permit import Permit, open_permit
from biofm.policy import Decision, Principal, Request, decide

if sys.platform == "win32":
    import getpass
else:
    import pwd


@contextmanager
def ask(request: Request) -> Iterator[Permit]:
    """Ask for a permit: ``with ask(request) as permit:``.

    The verdict is in the ledger before anything is opened. At a clean end the written files get their names;
    at any exception they vanish, and work that can be resumed stays. A process killed outright leaves that
    work and at most a hidden file, which the next run to the same target removes. No signal handlers are set:
    whoever wants SIGTERM to clean up turns it into ``SystemExit``.

    Raises:
        RefusedError: The policy did not allow it.
        LedgerError: The verdict cannot be remembered; or, when the work is whole, that it is.
        InputError: A file cannot be read.
        OutputError: A target cannot be written.
    """
    verdict = decide(request)
    ledger = Ledger(ledger_path())
    entry = ledger.remember(request, verdict)
    if verdict.decision is not Decision.ALLOW:
        raise RefusedError(f"not allowed by the rule {verdict.rule!r}: {verdict.reason}", where=request.verb)
    try:
        with open_permit(request) as permit:
            yield permit
    except BaseException as error:
        _remember_fault(ledger, entry, error)
        raise
    _remember_end(ledger, entry, request)


def person() -> Principal:
    """The person whose account this process runs under, as the system knows it: the environment can lie."""
    if sys.platform == "win32":
        return Principal(kind="person", name=getpass.getuser())
    try:
        return Principal(kind="person", name=pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # Usual in containers.
        return Principal(kind="person", name=f"uid {os.getuid()}")


def _remember_end(ledger: Ledger, entry: int, request: Request) -> None:
    try:
        ledger.conclude(entry, "completed")
    except LedgerError as error:
        made = [
            str(target.path)
            for target in request.writes.values()
            if target.kind not in ("scratch", "temporary")
        ]
        whole = f"the output is whole ({', '.join(made)})" if made else "the work is done"
        what = f"{whole}, and only the ledger's note of that is missing: {error.what}"
        remedy = f"{error.remedy}; nothing needs to be done again"
        raise LedgerError(what, where=error.where, remedy=remedy) from error


def _remember_fault(ledger: Ledger, entry: int, error: BaseException) -> None:
    outcome: Outcome = "failed" if isinstance(error, Exception) else "interrupted"
    try:
        ledger.conclude(entry, outcome, type(error).__name__)
    except LedgerError as unwritten:  # The fault itself matters more.
        error.add_note(str(unwritten))
