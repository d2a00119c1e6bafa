"""Every verb passes the gate, which asks the policy, records the verdict, and opens what is allowed."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING

from biofm.core.errors import LedgerError, RefusedError
from biofm.gate.approvals import ask_person, login_account
from biofm.gate.carried import carrying
from biofm.gate.evidence import evidence_of
from biofm.gate.handed import handed_for, permit_in_worker
from biofm.gate.holders import current_session, holder_of
from biofm.gate.judging import Judgement, judge_in
from biofm.gate.ledger import Ledger, Outcome
from biofm.gate.made import check_same, identities_of, note_outputs, state_labels_of_folders
from biofm.gate.permit import Permit, open_permit
from biofm.gate.policies import policies_in_force, roots_of
from biofm.gate.sessions import ledger_of
from biofm.policy import Decision, Evidence, Labels, Request, Verdict
from biofm.policy.policies import Invalid, Policy

if TYPE_CHECKING:
    from biofm.gate.confinement import Confinement


@contextmanager
def ask(request: Request, *, in_worker: bool = False) -> Iterator[Permit]:
    """Ask for a permit: ``with ask(request) as permit:``.

    The verdict is in the ledger before anything is opened. If it is to ask, the person at the terminal is
    asked; where nobody can be, the request is refused. If the ``with`` ends without an exception, the written
    files get their names; otherwise they are removed, and work that can be resumed stays. A killed process
    leaves that work and at most a hidden file, which the next run with the same target removes. The gate sets
    no signal handlers: a caller that wants SIGTERM to clean up turns it into ``SystemExit``.

    In a confined worker the permit is that which its parent handed over.

    Args:
        request: The verb, who asks for it, and what it reads, writes and contacts.
        in_worker: Whether a confined worker will read the files, and this process only opens them.

    Raises:
        RefusedError: The policy does not allow the request.
        LedgerError: The ledger cannot be written, before the work or after it.
        InputError: An input cannot be read.
        OutputError: A target cannot be written.
    """
    if (handed := handed_for(request)) is not None:
        with permit_in_worker(request, handed) as permit:
            yield permit
        return
    policies = policies_in_force()
    ledger = ledger_of(policies)
    looked_at = identities_of(request)
    found = evidence_of(request, Labels.NONE, policies, in_worker=in_worker)
    judgement = _judge(ledger, request, found, policies)
    if judgement.verdict.decision is Decision.ASK and _is_approved(ledger, request, judgement, policies):
        judgement = _judge(ledger, request, found, policies)
    if judgement.verdict.decision is not Decision.ALLOW:
        verdict = judgement.verdict
        raise RefusedError(_spell_refusal(verdict), where=request.verb, remedy=verdict.remedy)
    with carrying(judgement.made_from) as made_from:
        note_worker = partial(_note_worker, ledger, judgement)
        try:
            with open_permit(request, roots_of(policies), note_worker, made_from) as permit:
                check_same(permit, request, looked_at)
                yield permit
        except BaseException as error:
            _remember_fault(ledger, judgement.entry, error)
            raise
        finally:
            judgement = replace(judgement, made_from=made_from.labels)
            state_labels_of_folders(request, judgement)
    _remember_end(ledger, judgement, request)


def _judge(
    ledger: Ledger, request: Request, found: Evidence, policies: Sequence[Policy | Invalid]
) -> Judgement:
    with ledger.writing() as book:
        return judge_in(book, request, found, policies, session=current_session(), now_s=time.time())


def _is_approved(
    ledger: Ledger, request: Request, judgement: Judgement, policies: Sequence[Policy | Invalid]
) -> bool:
    """Ask the person at the terminal, and write the answer into the ledger."""
    seconds = min(one.approval_s for one in policies if isinstance(one, Policy))
    answer = ask_person(request, judgement.verdict, judgement.digest, seconds)
    if answer is None:
        return False
    with ledger.writing() as book:
        holder, login = holder_of(request.principal), login_account()
        if answer:
            book.note_approval(judgement.digest, holder, int(time.time()) + seconds, login=login)
        else:
            book.note_decline(judgement.digest, holder, login=login)
    return answer


def _spell_refusal(verdict: Verdict) -> str:
    what = f"the policy does not allow this (rule {verdict.rule!r}): {verdict.reason}"
    asked = "; a person would have to approve it at the terminal, and nobody did"
    return what + (asked if verdict.decision is Decision.ASK else "")


def _note_worker(ledger: Ledger, judgement: Judgement, worker: "Confinement") -> None:
    """Write into the ledger how a worker was confined, how it ended, and what was refused to it."""
    with ledger.writing() as book:
        book.append("confinement", {"request": judgement.entry, **asdict(worker)})


def _remember_end(ledger: Ledger, judgement: Judgement, request: Request) -> None:
    try:
        with ledger.writing() as book:
            book.append("outcome", {"request": judgement.entry, "outcome": "completed", "error": ""})
            note_outputs(book, request, judgement)
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
