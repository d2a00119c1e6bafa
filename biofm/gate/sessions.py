"""Sessions are begun and ended in the ledger, which also says what labels their holder has."""

from collections.abc import Sequence

from biofm.core.errors import RefusedError
from biofm.gate.accounts import expanded
from biofm.gate.approvals import confirm
from biofm.gate.holders import NO_SESSION, holder_of
from biofm.gate.ledger import Ledger, ledger_path, parent_of
from biofm.policy import Labels, Principal
from biofm.policy.labels import describe_labels
from biofm.policy.policies import Invalid, Policy


def ledger_of(policies: Sequence[Policy | Invalid]) -> Ledger:
    """Return the ledger, which keeps texts as the strictest of the policies says.

    Args:
        policies: The policies in force.
    """
    keys = [one.key for one in policies if isinstance(one, Policy) and one.texts == "keyed"]
    if not keys or keys[0] is None:
        return Ledger(ledger_path())
    return Ledger(ledger_path(), "keyed", expanded(keys[0]))


def labels_held(principal: Principal, policies: Sequence[Policy | Invalid]) -> Labels:
    """Return the labels that a principal has, in all its open sessions.

    Args:
        principal: Who holds them.
        policies: The policies in force, which say how the ledger is written.

    Raises:
        LedgerError: The ledger cannot be opened.
    """
    return Labels(_held(ledger_of(policies), holder_of(principal)))


def begin_session(
    principal: Principal, policies: Sequence[Policy | Invalid], parent: str = NO_SESSION
) -> str:
    """Begin a session of a principal, and return its handle. It has the labels of its holder.

    Args:
        principal: Who holds it.
        policies: The policies in force, which say how the ledger is written.
        parent: The handle of the session within which it begins, which is not itself within another; "" for
            none.

    Raises:
        RefusedError: The principal has no such open session, or that one is within another.
        LedgerError: The ledger cannot be written.
    """
    with ledger_of(policies).writing() as book:
        return book.open_session(holder_of(principal), parent)


def end_sessions(principal: Principal, policies: Sequence[Policy | Invalid], session: str | None) -> int:
    """End a session of a principal with those within it, or all; return how many ended.

    A person has to confirm it, unless the session is within another one, which then has its labels.

    Args:
        principal: Who holds them.
        policies: The policies in force, which say how the ledger is written.
        session: The handle; None for all sessions and what came without one.

    Raises:
        RefusedError: Nobody confirmed it, or the principal has no such session.
        LedgerError: The ledger cannot be written.
    """
    holder, ledger = holder_of(principal), ledger_of(policies)
    if session is None or not parent_of(session):
        _confirm(principal, Labels(_held(ledger, holder)), session)
    with ledger.writing() as book:
        return book.close_all(holder) if session is None else book.close_session(holder, session)


def _held(ledger: Ledger, holder: str) -> int:
    with ledger.writing() as book:
        return book.held(holder)


def _confirm(principal: Principal, held: Labels, session: str | None) -> None:
    """Raise RefusedError unless a person confirms at the terminal that sessions end."""
    what = "all sessions" if session is None else f"the session {session}"
    question = (
        f"End {what} of {principal.name}, which has {describe_labels(held)}? What was read can then be sent."
    )
    if not confirm(question, principal):
        remedy = "Run `biofm policy reset` at a terminal, and answer the question"
        raise RefusedError("a person has to confirm it, and nobody did", where="reset", remedy=remedy)
