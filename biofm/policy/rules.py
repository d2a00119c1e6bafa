"""The rules. Each judges one side of a request, the gravest verdict counts, and the unknown is refused."""

from collections.abc import Mapping

from biofm.policy.requests import Request
from biofm.policy.verdicts import Decision, Verdict

HUB = ("huggingface.co", "*.hf.co")
"""Where models lie: the hub, and the stores of files that it sends whoever asks to."""
WEIGHTS_AND_BIASES = ("api.wandb.ai", "storage.googleapis.com")
"""Where a run's log goes if its recipe says so: the service, and its store of files."""
KNOWN_HOSTS: Mapping[str, tuple[str, ...]] = {
    "fetch": HUB,
    "finetune": WEIGHTS_AND_BIASES,
    "pretrain": WEIGHTS_AND_BIASES,
}


def decide(request: Request) -> Verdict:
    """The gravest verdict of all rules; between equals, the one about who asks."""
    verdicts = (_judge_principal(request), _judge_verb(request), _judge_contacts(request))
    return max(verdicts, key=lambda verdict: verdict.decision)


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


def _judge_verb(request: Request) -> Verdict:
    rule = "verbs: what is not declared is refused"
    if request.verb not in request.verbs:
        reason = f"{request.verb!r} is not one of the verbs {', '.join(sorted(request.verbs)) or '(none)'}"
        return Verdict(decision=Decision.REFUSE, rule=rule, reason=reason)
    return Verdict(decision=Decision.ALLOW, rule=rule, reason="the verb is declared")


def _judge_contacts(request: Request) -> Verdict:
    rule = "contacts: a closed list of hosts for each verb"
    known = KNOWN_HOSTS.get(request.verb, ())
    unknown = [host for host in request.contacts if host not in known]
    if unknown:
        return Verdict(
            decision=Decision.REFUSE,
            rule=rule,
            reason=f"{', '.join(unknown)}: {request.verb} contacts {' and '.join(known) or 'no host'} alone",
        )
    return Verdict(decision=Decision.ALLOW, rule=rule, reason="every host is known")
