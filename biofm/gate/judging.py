"""Judging: a request is judged and written down in one transaction of the ledger.

Between the look at the labels that its holder has and the entry that raises them, no other process can write.
So two requests that are allowed one by one, and not together, are never both allowed.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from biofm.core.provenance import sha256_of
from biofm.gate.holders import NO_SESSION, holder_of
from biofm.gate.inputs import STANDARD_INPUT
from biofm.gate.ledger import Book, FileIdentity, clear_words, fields_of_request
from biofm.policy import Alteration, Approval, Decision, Evidence, Labels, Request, Verdict
from biofm.policy.policies import Invalid, Policy
from biofm.policy.rules import decide, labels_raised

SESSION = "a session belongs to its holder"
NOT_OPEN = "the session that is named is no open session of this account"
REMEDY = "Leave out --session and BIOFM_SESSION, or begin a session with `biofm policy begin`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Holds what was decided about a request, and where that is written.

    Attributes:
        verdict: The verdict.
        entry: The number of its entry in the ledger.
        digest: The hash of exactly this request, for an approval.
        made_from: The labels of the files that are read, which what is made from them inherits.
        time_s: When it was decided, in seconds since 1970 (UTC).
    """

    verdict: Verdict
    entry: int
    digest: str
    made_from: Labels
    time_s: float


def judge_in(
    book: Book,
    request: Request,
    found: Evidence,
    policies: Sequence[Policy | Invalid],
    *,
    session: str,
    now_s: float,
) -> Judgement:
    """Judge a request on what its holder has, write the verdict, and raise the labels that it brings.

    Args:
        book: The ledger, within a transaction.
        request: The request.
        found: What was found out about the request itself.
        policies: The policies in force.
        session: The handle that the request names; "" without one.
        now_s: The present time, in seconds since 1970 (UTC).

    Raises:
        LedgerError: The ledger cannot be written.
    """
    holder, digest = holder_of(request.principal), digest_of(request)
    evidence = replace(
        found,
        held=Labels(book.held(holder)),
        inputs=_with_known_labels(book, request, found.inputs),
        alters=tuple(_with_maker(book, one, holder) for one in found.alters),
        approval=Approval(book.approval(digest, holder, now_s)),
    )
    verdict = decide(request, evidence, policies)
    if session != NO_SESSION and session not in book.sessions(holder):
        verdict = _refused(verdict)
    entry = book.append(
        "request",
        {
            **fields_of_request(request, verdict),
            "holder": holder,
            "session": session,
            "request_hash": digest,
            "policies": [f"{one.name} {one.sha256}" for one in policies if isinstance(one, Policy)],
        },
        clear_words(request),
    )
    if verdict.decision is Decision.ALLOW:
        if _needs_approval(request, evidence, policies):
            book.use_approval(digest, holder, now_s)
        raised = (labels_raised(request, evidence, one) for one in policies if isinstance(one, Policy))
        book.raise_labels(holder, session, _union(raised).value)
    of_code = Labels.UNTRUSTED if request.code else Labels.NONE
    made_from = _union(evidence.inputs.values()) | of_code
    return Judgement(verdict=verdict, entry=entry, digest=digest, made_from=made_from, time_s=now_s)


def digest_of(request: Request) -> str:
    """Return the hash of exactly this request: of every field, with whole paths.

    Args:
        request: The request.
    """
    reads = {role: [os.path.abspath(path) for path in paths] for role, paths in request.reads.items()}
    writes = {
        role: [os.path.abspath(one.path), one.kind, one.overwrite, one.resume]
        for role, one in request.writes.items()
    }
    whole = [
        request.verb, sorted(request.verbs), request.principal.kind, request.principal.name,
        dict(request.options), reads, writes, request.hosts, sorted(one.value for one in request.sends),
        request.code, request.device, request.model, sorted(request.once),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def _union(some: Iterable[Labels]) -> Labels:
    union = Labels.NONE
    for labels in some:
        union |= labels
    return union


def _needs_approval(request: Request, evidence: Evidence, policies: Sequence[Policy | Invalid]) -> bool:
    """Return whether an allowed request would be asked about without its approval, which it then uses up."""
    if evidence.approval is not Approval.LIVE:
        return False
    without = decide(request, replace(evidence, approval=Approval.NONE), policies)
    return without.decision is Decision.ASK


def _refused(verdict: Verdict) -> Verdict:
    if verdict.decision > Decision.REFUSE:
        return verdict
    return replace(verdict, decision=Decision.REFUSE, rule=SESSION, reason=NOT_OPEN, remedy=REMEDY)


def _with_known_labels(book: Book, request: Request, inputs: Mapping[str, Labels]) -> dict[str, Labels]:
    """Return the labels of the inputs, where files that biofm made have those that the ledger says.

    Such a file may be trusted. It stays private if its place or name says so.
    """
    found = dict(inputs)
    for role, paths in request.reads.items():
        known = [_labels_of_made(book, path) for path in paths]
        if known and all(labels is not None for labels in known):
            found[role] = inputs.get(role, Labels.NONE) & ~Labels.UNTRUSTED
        for labels in known:
            found[role] = found.get(role, Labels.NONE) | (labels or Labels.NONE)
    return found


def _labels_of_made(book: Book, path: Path) -> Labels | None:
    """Return the labels of a file that biofm has made, or of a copy of a private one; None for others."""
    identity = None if path == STANDARD_INPUT else identity_of_file(path)
    if identity is None:
        return None
    labels = book.labels_of_output(identity)
    if labels is None and book.knows_content_of(identity.size):
        try:
            with path.open("rb") as file:
                labels = book.labels_of_output(identity, sha256_of([file]))
        except OSError:
            return None  # The permit will say what is wrong with it.
    return None if labels is None else Labels(labels)


def _with_maker(book: Book, altered: Alteration, holder: str) -> Alteration:
    identity = identity_of_file(altered.path)
    is_own = identity is not None and holder in book.makers_of_output(identity)
    return replace(altered, maker="own") if is_own else altered


def identity_of_file(path: Path) -> FileIdentity | None:
    """Return the identity of an ordinary file; None if there is none.

    Args:
        path: The file.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return FileIdentity.of(status) if stat.S_ISREG(status.st_mode) else None
