"""Every verb passes the gate, which asks the policy, records the verdict, and opens what is allowed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from biofm.core.errors import LedgerError, RefusedError
from biofm.gate.evidence import evidence_of
from biofm.gate.ledger import Ledger, Outcome, ledger_path
from biofm.gate.permit import Permit, open_permit
from biofm.gate.policies import policies_in_force
from biofm.gate.roots import EVERYWHERE_ALLOWED
from biofm.policy import Decision, Labels, Principal, Request, Verdict
from biofm.policy.rules import decide

if sys.platform == "win32":
    import getpass
else:
    import pwd


@contextmanager
def ask(request: Request) -> Iterator[Permit]:
    """Ask for a permit: ``with ask(request) as permit:``.

    The verdict is in the ledger before anything is opened. If the ``with`` ends without an exception, the
    written files get their names; otherwise they are removed, and work that can be resumed stays. A killed
    process leaves that work and at most a hidden file, which the next run with the same target removes. The
    gate sets no signal handlers: a caller that wants SIGTERM to clean up turns it into ``SystemExit``.

    Args:
        request: The verb, who asks for it, and what it reads and writes, and which hosts it contacts.

    Raises:
        RefusedError: The policy does not allow the request.
        LedgerError: The ledger cannot be written, before the work or after it.
        InputError: An input cannot be read.
        OutputError: A target cannot be written.
    """
    policies = policies_in_force()
    verdict = decide(request, evidence_of(request, Labels.NONE, policies), policies)
    ledger = Ledger(ledger_path())
    entry = ledger.remember(request, verdict)
    if verdict.decision is not Decision.ALLOW:
        raise RefusedError(_spell_refusal(verdict), where=request.verb, remedy=verdict.remedy)
    try:
        with open_permit(request, EVERYWHERE_ALLOWED) as permit:
            yield permit
    except BaseException as error:
        _remember_fault(ledger, entry, error)
        raise
    _remember_end(ledger, entry, request)


def person() -> Principal:
    """Return the person whose account this process runs under.

    The name comes from the operating system, because the environment can be changed.
    """
    if sys.platform == "win32":
        return Principal(kind="person", name=getpass.getuser())
    try:
        return Principal(kind="person", name=pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # In containers the account often has no name.
        return Principal(kind="person", name=f"uid {os.getuid()}")


def _spell_refusal(verdict: Verdict) -> str:
    what = f"the policy does not allow this (rule {verdict.rule!r}): {verdict.reason}"
    asked = "; a person would have to approve it, and nobody can be asked"
    return what + (asked if verdict.decision is Decision.ASK else "")


def _remember_end(ledger: Ledger, entry: int, request: Request) -> None:
    try:
        ledger.conclude(entry, "completed")
    except LedgerError as error:
        made = [
            str(target.path)
            for target in request.writes.values()
            if target.kind not in ("scratch", "temporary")
        ]
        whole = f"the output is complete ({', '.join(made)})" if made else "the work is done"
        what = f"{whole}, but the ledger does not say so: {error.what}"
        remedy = f"This command need not be repeated. Before the next one: {error.remedy}"
        raise LedgerError(what, where=error.where, remedy=remedy) from error


def _remember_fault(ledger: Ledger, entry: int, error: BaseException) -> None:
    outcome: Outcome = "failed" if isinstance(error, Exception) else "interrupted"
    try:
        ledger.conclude(entry, outcome, type(error).__name__)
    except LedgerError as unwritten:  # The first error matters more.
        error.add_note(str(unwritten))
