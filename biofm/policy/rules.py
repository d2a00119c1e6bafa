"""The rules. Each judges one side of a request, the gravest verdict counts, and the unknown is refused."""

from biofm.policy.requests import Request
from biofm.policy.verdicts import Decision, Verdict

KNOWN_HOSTS = ("huggingface.co",)


def decide(request: Request) -> Verdict:
    """The gravest verdict of all rules; between equals, the one about who asks."""
    return max(_judge_principal(request), _judge_contacts(request), key=lambda verdict: verdict.decision)


def _judge_principal(request: Request) -> Verdict:
    kind = request.principal.kind
    if kind == "person":
        return Verdict(
            decision=Decision.ALLOW,
            rule="research: a person at a terminal",
            reason="a person answers for what they run",
        )
    return Verdict(
        decision=Decision.REFUSE,
        rule="principals: unknown means refuse",
        reason=f"no rule knows a principal of the kind {kind!r}",
    )


def _judge_contacts(request: Request) -> Verdict:
    rule = "contacts: a closed list of hosts"
    unknown = [host for host in request.contacts if host not in KNOWN_HOSTS]
    if unknown:
        return Verdict(
            decision=Decision.REFUSE,
            rule=rule,
            reason=f"{', '.join(unknown)}: biofm contacts only {', '.join(KNOWN_HOSTS)}",
        )
    return Verdict(decision=Decision.ALLOW, rule=rule, reason="every host is known")
