"""Rights: a card that says which of P, X and E a holder has or may get, and why it may not get the rest.

P is private data, X the execution of a caller's code, and E external communication; no holder has all three.
The card asks ``decide`` about a request that would bring each label, and so says what the policies really do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from biofm.policy.evidence import Approval, Evidence, Models
from biofm.policy.labels import LETTERS, NEVER_TOGETHER, WORDS, Labels, letters_of
from biofm.policy.policies import Invalid, Policy
from biofm.policy.requests import Content, Principal, Request
from biofm.policy.rules import decide
from biofm.policy.screening import Screening
from biofm.policy.verdicts import Decision

Standing = Literal["held", "open", "asked", "refused"]
STANDINGS: dict[Decision, Standing] = {
    Decision.ALLOW: "open",
    Decision.ASK: "asked",
    Decision.REFUSE: "refused",
    Decision.ERROR: "refused",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """Says how a holder stands to one of the three labels.

    Attributes:
        letter: The letter of the label: P, X or E.
        standing: Whether the holder has it ("held"), may get it ("open"), needs a person for it ("asked"), or
            is "refused".
        reason: Why it is asked or refused; otherwise empty.
    """

    letter: str
    standing: Standing
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Holds the card of a holder.

    Attributes:
        holder: The name of the holder.
        policies: The names of the policies in force.
        held: The letters of the labels that the holder has, among U, P, X and E.
        rights: How the holder stands to P, X and E.
        session: The handle of the session that is named; empty if none is.
        parent: The handle of the session within which that one was begun; empty if there is none.
    """

    holder: str
    policies: tuple[str, ...]
    held: str
    rights: tuple[Right, ...]
    session: str = ""
    parent: str = ""

    def text(self) -> str:
        """Return the card as lines of text."""
        lines = [
            f"holder    {self.holder}",
            f"policies  {', '.join(self.policies)}",
            f"holds     {self.held or 'no label'}",
        ]
        if self.session:
            within = f", within {self.parent}" if self.parent else ""
            lines.append(f"session   {self.session}{within}")
        for one in self.rights:
            why = f": {one.reason}" if one.reason else ""
            lines.append(f"{one.letter}         {WORDS[one.letter]} is {one.standing}{why}")
        has = [one.letter for one in self.rights if one.standing == "held"]
        if len(has) == 2:
            third = next(one.letter for one in self.rights if one.standing != "held")
            summary = (
                f"This holder has {has[0]} and {has[1]}; {third} is refused, because no one has all three."
            )
        else:
            summary = "Of P, X and E a holder may have two; the third is then refused."
        return "\n".join([*lines, summary])


def rights_of(
    principal: Principal,
    held: Labels,
    policies: Sequence[Policy | Invalid],
    verbs: frozenset[str],
    *,
    session: str = "",
    parent: str = "",
) -> Rights:
    """Return the card of a holder.

    Args:
        principal: The holder.
        held: The labels that the holder has.
        policies: The policies in force.
        verbs: All declared verbs.
        session: The handle of the session that is named; "" if none is.
        parent: The handle of the session within which that one was begun; "" if there is none.
    """
    evidence = Evidence(
        held=held, inputs={}, alters=(), outside=(), approval=Approval.NONE, is_confined=True,
        models=Models.NONE, screening=Screening.PASS,
    )  # fmt: skip
    return Rights(
        holder=principal.name,
        policies=tuple(one.source if isinstance(one, Invalid) else one.name for one in policies),
        held=letters_of(held),
        rights=tuple(
            _right(letter, principal, evidence, policies, verbs) for letter in letters_of(NEVER_TOGETHER)
        ),
        session=session,
        parent=parent,
    )


def _right(
    letter: str,
    principal: Principal,
    evidence: Evidence,
    policies: Sequence[Policy | Invalid],
    verbs: frozenset[str],
) -> Right:
    """Return how the holder stands to a label: the mildest verdict about the requests that bring it."""
    if LETTERS[letter] in evidence.held:
        return Right(letter=letter, standing="held", reason="")
    inputs = {"input": Labels.PRIVATE} if letter == "P" else {}
    asked = Evidence(
        held=evidence.held, inputs=inputs, alters=(), outside=(), approval=evidence.approval,
        is_confined=True, models=Models.NONE, screening=evidence.screening,
    )  # fmt: skip
    unread = [one for one in policies if isinstance(one, Invalid)]
    if unread:
        reason = f"everything is, while this policy cannot be read: {unread[0].source} ({unread[0].what})"
        return Right(letter=letter, standing="refused", reason=reason)
    if letter == "E" and not _listed(policies):
        return Right(letter=letter, standing="refused", reason="no policy in force lists a host or a sink")
    verdicts = [decide(request, asked, policies) for request in _requests(letter, principal, policies, verbs)]
    best = min(verdicts, key=lambda verdict: verdict.decision)
    standing = STANDINGS[best.decision]
    reason = "" if standing == "open" else f"{best.reason} ({best.rule})"
    return Right(letter=letter, standing=standing, reason=reason)


def _requests(
    letter: str, principal: Principal, policies: Sequence[Policy | Invalid], verbs: frozenset[str]
) -> Iterator[Request]:
    """Yield a request of each verb that brings the label."""
    for verb in sorted(verbs):
        if letter != "E":
            yield _request(verb, verbs, principal, code=("program",) if letter == "X" else ())
            continue
        for host, sends in _listed(policies):
            yield _request(verb, verbs, principal, hosts=(host,), sends=sends)


def _listed(policies: Sequence[Policy | Invalid]) -> list[tuple[str, frozenset[Content]]]:
    """Return every host that a policy lists, with what may be sent to it."""
    found = []
    for policy in policies:
        if isinstance(policy, Policy):
            free = frozenset({Content.FREE})
            found += [(host, free) for hosts in policy.hosts.values() for host in hosts]
            for sink in policy.sinks:
                found.append((f"{sink.host}:{sink.port}", frozenset(map(Content, sink.content[:1]))))
    return found


def _request(
    verb: str,
    verbs: frozenset[str],
    principal: Principal,
    hosts: tuple[str, ...] = (),
    sends: frozenset[Content] = frozenset({Content.FREE}),
    code: tuple[str, ...] = (),
) -> Request:
    return Request(
        verb=verb, verbs=verbs, principal=principal, options={}, reads={}, writes={}, hosts=hosts,
        sends=sends if hosts else frozenset(), code=code, device="", model="", once=frozenset(),
    )  # fmt: skip
