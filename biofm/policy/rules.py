"""The verdict: every rule of every policy in force judges a request, and the gravest decision counts.

The rules of three and two, and what follows from the other keys of a policy, are built in here. They never
allow anything: only a rule of the policy's file does. What no rule of the file covers is refused.
"""

from collections.abc import Iterator, Sequence

from biofm.policy.evidence import Approval, Evidence, Models
from biofm.policy.files import SHIPPED
from biofm.policy.hosts import HostError, is_listed
from biofm.policy.labels import (
    NEVER_TOGETHER,
    ONLY_WITH_APPROVAL,
    Labels,
    describe_labels,
    letters_of,
)
from biofm.policy.policies import Invalid, Policy, Rule
from biofm.policy.requests import Request
from biofm.policy.screening import Screening, is_clear
from biofm.policy.verdicts import Decision, Verdict

THREE = "the rule of three"
TWO = "the rule of two"
NOTHING_MATCHED = "what no rule covers is refused"
DECLARED = "what is not declared is refused"
CHOOSE = "Name a policy, with biofm --policy or BIOFM_POLICY, whose rules cover it"

Finding = tuple[Decision, str, str, str]
"""A decision, the name of the rule, the reason and the remedy."""


def decide(request: Request, evidence: Evidence, policies: Sequence[Policy | Invalid]) -> Verdict:
    """Return the gravest verdict of all rules of all policies; between equals, the first.

    Args:
        request: The request to judge.
        evidence: What the gate found out about it.
        policies: The policies in force. Where there is none, everything is refused.
    """
    return max(judge(request, evidence, policies), key=lambda verdict: verdict.decision)


def judge(request: Request, evidence: Evidence, policies: Sequence[Policy | Invalid]) -> tuple[Verdict, ...]:
    """Return the verdict of every rule that fired, in the order of the policies. There is at least one.

    Args:
        request: The request to judge.
        evidence: What the gate found out about it.
        policies: The policies in force.
    """
    found: list[Verdict] = []
    facts_by_raised: dict[Labels, tuple[str, ...]] = {}
    for policy in policies:
        if isinstance(policy, Invalid):
            at = f"{policy.source}, {policy.where}: {policy.what}"
            reason = f"the policy in force cannot be read, so that everything is refused: {at}"
            found.append(_verdict((Decision.ERROR, "every policy is readable", reason, policy.remedy), ()))
            continue
        raised = labels_raised(request, evidence, policy)
        if raised not in facts_by_raised:
            facts_by_raised[raised] = _facts(request, evidence, raised)
        facts = facts_by_raised[raised]
        found += [
            _verdict((decision, f"{policy.name}: {name}", reason, remedy), facts)
            for decision, name, reason, remedy in _findings(request, evidence, policy, raised)
        ]
    if not found:
        remedy = "Name one, with biofm --policy or BIOFM_POLICY"
        found.append(_verdict((Decision.REFUSE, NOTHING_MATCHED, "no policy is in force", remedy), ()))
    return tuple(found)


def labels_raised(request: Request, evidence: Evidence, policy: Policy) -> Labels:
    """Return the labels that the request would bring to its holder.

    Args:
        request: The request.
        evidence: What the gate found out about it.
        policy: The policy, which says whether lost files count.
    """
    raised = Labels.NONE
    for labels in evidence.inputs.values():
        raised |= labels
    if request.code:
        raised |= Labels.EXECUTES
    is_loss = policy.own_files == "counted" and any(one.maker != "own" for one in evidence.alters)
    if request.hosts or is_loss:
        raised |= Labels.EXTERNAL
    return raised


def _findings(request: Request, evidence: Evidence, policy: Policy, raised: Labels) -> Iterator[Finding]:
    yield from _judge_verb(request, policy)
    for finding in (
        *_judge_labels(request, evidence, policy, raised),
        *_judge_hosts(request, policy),
        *_judge_surroundings(request, evidence, policy),
    ):
        yield _approved(finding, evidence)
    fired = [rule for rule in policy.rules if _fires(rule, request, evidence, raised)]
    for rule in fired:
        finding = Decision[rule.decision.upper()], rule.name, _unpunctuated(rule.reason), rule.remedy[:-1]
        yield _approved(finding, evidence)
    if not fired:
        kind = request.principal.kind
        reason = f"no rule of the policy covers {request.verb} by a principal of the kind {kind!r}"
        yield Decision.REFUSE, NOTHING_MATCHED, reason, CHOOSE


def _judge_verb(request: Request, policy: Policy) -> Iterator[Finding]:
    known = ", ".join(sorted(request.verbs)) or "(none)"
    if request.verb not in request.verbs:
        reason = f"{request.verb!r} is not one of the verbs {known}"
        yield Decision.REFUSE, DECLARED, reason, "Name one of these verbs"
    if not policy.named_verbs <= request.verbs:
        unknown = ", ".join(sorted(policy.named_verbs - request.verbs))
        reason = f"the policy names {unknown}, which is not one of the verbs {known}"
        remedy = "Correct the name in the policy file, or use the version of biofm that it was written for"
        yield Decision.ERROR, "every named verb exists", reason, remedy


def _judge_labels(request: Request, evidence: Evidence, policy: Policy, raised: Labels) -> Iterator[Finding]:
    """Yield what the rules of three and two say."""
    held, after = evidence.held, evidence.held | raised
    if NEVER_TOGETHER in after:
        reason = f"{describe_labels(NEVER_TOGETHER)} never come together, and {_company(held, raised)}"
        remedy = (
            "Do this in another account, which has not touched the rest; `biofm policy rights` shows yours"
        )
        yield Decision.REFUSE, THREE, reason, remedy
    if ONLY_WITH_APPROVAL not in after:
        return
    is_sending = Labels.EXTERNAL in raised
    is_completing = policy.judges == "completing" and ONLY_WITH_APPROVAL not in held
    if (is_sending or is_completing) and not _is_typed(request, policy, evidence):
        reason = (
            f"{describe_labels(ONLY_WITH_APPROVAL)} come together only with a person's approval or at a "
            f"typed sink, and {_company(held, raised)}"
        )
        yield Decision.ASK, TWO, reason, "Let a person approve exactly this request"


def _is_typed(request: Request, policy: Policy, evidence: Evidence) -> bool:
    """Return whether all that is external about the request goes to typed sinks."""
    is_loss = policy.own_files == "counted" and any(one.maker != "own" for one in evidence.alters)
    return (
        bool(request.hosts) and not is_loss and all(_is_sink(host, request, policy) for host in request.hosts)
    )


def _is_sink(host: str, request: Request, policy: Policy) -> bool:
    return any(sink.takes(host, request.verb, request.sends) for sink in policy.sinks)


def _judge_hosts(request: Request, policy: Policy) -> Iterator[Finding]:
    if not request.hosts:
        return
    known = policy.hosts.get(request.verb, ())
    unknown = [
        host for host in request.hosts if not _is_listed(host, known) and not _is_sink(host, request, policy)
    ]
    if unknown:
        sinks = [f"{one.host}:{one.port} (typed)" for one in policy.sinks if request.verb in one.verbs]
        reason = (
            f"{request.verb} may contact {' and '.join((*known, *sinks)) or 'no host'}, "
            f"but this request contacts {', '.join(unknown)}"
        )
        copied = f"save `biofm policy show {policy.name}` as ~/.config/biofm/policy.yaml, and "
        remedy = (
            f"To allow it, {copied if policy.name in SHIPPED else ''}list the host in the file of the policy "
            f"under hosts, {request.verb}"
        )
        yield Decision.REFUSE, "a closed list of hosts for each verb", reason, remedy


def _is_listed(host: str, known: tuple[str, ...]) -> bool:
    """Return whether a host is listed in its only spelling, or is a sub-domain of a listed ``*.`` name."""
    try:
        return is_listed(host, known)
    except HostError:
        return False


def _judge_surroundings(request: Request, evidence: Evidence, policy: Policy) -> Iterator[Finding]:
    """Yield what the roots, the signatures, the kernel and the screening say."""
    if evidence.outside:
        paths = ", ".join(str(path) for path in evidence.outside[:3])
        reason = (
            f"{len(evidence.outside)} of its files lie outside the roots of the policies, such as {paths}"
        )
        yield Decision.REFUSE, "files lie below the roots", reason, "Move them below a root of the policy"
    if policy.models == "signed" and evidence.models is Models.UNSIGNED:
        reason = "only models whose files the operator has signed are loaded, and this one is not signed"
        remedy = "Let the operator sign the model's manifest"
        if policy.manifest is None:
            reason = "only signed models are loaded, and the policy names no manifest of them"
            remedy = "Copy the policy into a file, and set manifest and manifest_key in it"
        yield Decision.REFUSE, "models are signed", reason, remedy
    if policy.confinement == "required" and not evidence.is_confined:
        reason = "what reads files must run in a worker that the kernel confines, and here it would not"
        remedy = (
            "Use a verb that runs in a worker (the page Safety lists them), on Linux with Landlock and "
            "libseccomp; apt-get install libseccomp2 brings the latter"
        )
        yield Decision.REFUSE, "the kernel confines", reason, remedy
    if request.verb in policy.screening.verbs:
        yield from _judge_screening(evidence.screening, policy)


def _judge_screening(status: Screening, policy: Policy) -> Iterator[Finding]:
    if is_clear(status) and policy.screening.screener is not None:
        return
    name = "sequences are screened"
    if policy.screening.screener is None or status is Screening.SKIP:
        reason = "the policy wants the sequences screened, and no screener did"
        remedy = "Name a screener in the policy under screening, screener"
        if policy.screening.screener is not None:
            remedy = (
                "Leave the verb out of the policy's screening: in this version it hands no sequences over"
            )
        yield Decision.REFUSE, name, reason, remedy
        return
    decision = Decision.ASK if status is Screening.WARNING else Decision.REFUSE
    reason = f"the screening of the sequences ended with {status.value!r}"
    yield decision, name, reason, "Read the screener's report, and let a person decide"


def _fires(rule: Rule, request: Request, evidence: Evidence, raised: Labels) -> bool:
    when = rule.when
    return (
        (when.verbs == "any" or request.verb in when.verbs)
        and request.principal.kind in when.principals
        and when.raises in raised
        and when.held in evidence.held
        and all(bool(getattr(request, effect)) for effect in when.effects)
    )


def _approved(finding: Finding, evidence: Evidence) -> Finding:
    """Return a finding, which a person's live approval turns from ask into allow."""
    decision, name, reason, _ = finding
    if decision is Decision.ASK and evidence.approval is Approval.LIVE:
        return Decision.ALLOW, name, f"a person approved exactly this request ({reason})", ""
    return finding


def _company(held: Labels, raised: Labels) -> str:
    has = letters_of(held)
    brings = letters_of(raised)
    return f"this holder has {has or 'none'} and the request brings {brings or 'none'}"


def _facts(request: Request, evidence: Evidence, raised: Labels) -> tuple[str, ...]:
    facts = [f"held: {letters_of(evidence.held) or 'none'}", f"raised: {letters_of(raised) or 'none'}"]
    if evidence.approval is not Approval.NONE:
        facts.append(f"approval: {evidence.approval.value}")
    if request.sends:
        facts.append(f"sends: {', '.join(sorted(one.value for one in request.sends))}")
    facts += [f"{one.what}: {one.maker}" for one in evidence.alters]
    return tuple(facts)


def _unpunctuated(sentence: str) -> str:
    """Return a sentence of a policy file as the part of a message, without its capital and full stop."""
    is_word = sentence[1:2].islower() or sentence[1:2] == " "  # and no abbreviation, such as PACS
    return (sentence[0].lower() if is_word else sentence[0]) + sentence[1:-1]


def _verdict(finding: Finding, facts: tuple[str, ...]) -> Verdict:
    decision, rule, reason, remedy = finding
    is_allowed = decision is Decision.ALLOW
    return Verdict(
        decision=decision, rule=rule, reason=reason, remedy="" if is_allowed else remedy, evidence=facts
    )
