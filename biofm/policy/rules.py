"""Each rule judges one side of a request. The gravest verdict counts, and what no rule knows is refused."""

from collections.abc import Mapping

from biofm.policy.requests import Request
from biofm.policy.verdicts import Decision, Verdict

HUB = ("huggingface.co", "*.hf.co")
"""The hosts that serve models: the hub, and the file stores to which it redirects."""
WEIGHTS_AND_BIASES = ("api.wandb.ai", "storage.googleapis.com")
"""The hosts that receive a run's log if its recipe says so: the service, and its file store."""
KNOWN_HOSTS: Mapping[str, tuple[str, ...]] = {
    "fetch": HUB,
    "finetune": WEIGHTS_AND_BIASES,
    "pretrain": WEIGHTS_AND_BIASES,
}


def decide(request: Request) -> Verdict:
    """Return the gravest verdict of all rules; between equals, the verdict about who asks.

    Args:
        request: The request to judge.
    """
    verdicts = (_judge_principal(request), _judge_verb(request), _judge_hosts(request))
    return max(verdicts, key=lambda verdict: verdict.decision)


def _judge_principal(request: Request) -> Verdict:
    kind = request.principal.kind
    if kind == "person":
        return Verdict(
            decision=Decision.ALLOW,
            rule="research: a person at a terminal",
            reason="people are responsible for what they run",
        )
    return Verdict(
        decision=Decision.REFUSE,
        rule="principals: unknown means refuse",
        reason=f"no rule covers a principal of the kind {kind!r}",
        remedy="Have a person run this from their own account",
    )


def _judge_verb(request: Request) -> Verdict:
    rule = "verbs: what is not declared is refused"
    if request.verb not in request.verbs:
        reason = f"{request.verb!r} is not one of the verbs {', '.join(sorted(request.verbs)) or '(none)'}"
        remedy = "Ask for one of these; a new verb must be declared before it is used"
        return Verdict(decision=Decision.REFUSE, rule=rule, reason=reason, remedy=remedy)
    return Verdict(decision=Decision.ALLOW, rule=rule, reason="the verb is declared")


def _judge_hosts(request: Request) -> Verdict:
    rule = "hosts: a closed list for each verb"
    known = KNOWN_HOSTS.get(request.verb, ())
    unknown = [host for host in request.hosts if host not in known]
    if unknown:
        return Verdict(
            decision=Decision.REFUSE,
            rule=rule,
            reason=(
                f"{request.verb} may contact {' and '.join(known) or 'no host'}, "
                f"but this request contacts {', '.join(unknown)}"
            ),
            remedy=(
                "Unset the variable that names another server (HF_ENDPOINT, or WANDB_BASE_URL), or download "
                "the files yourself and give the path of their folder"
            ),
        )
    return Verdict(decision=Decision.ALLOW, rule=rule, reason="every host is known")
