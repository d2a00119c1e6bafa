"""The rules allow known requests and refuse all others."""

import os
import subprocess
import sys

import pytest

from biofm.api.request import VERBS
from biofm.policy import Decision, Principal, Request, Verdict, decide


def request(
    kind: str = "person",
    verb: str = "embed",
    hosts: tuple[str, ...] = (),
    verbs: frozenset[str] = VERBS,
) -> Request:
    principal = Principal(kind=kind, name="rosalind")
    return Request(verb=verb, verbs=verbs, principal=principal, options={}, reads={}, writes={}, hosts=hosts)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_person_at_a_terminal_is_allowed_every_verb_that_is_declared(verb: str) -> None:
    verdict = decide(request(verb=verb))

    assert verdict.decision is Decision.ALLOW
    assert verdict.rule == "research: a person at a terminal"


@pytest.mark.parametrize("verb", ["synthesise", "Embed", "embed ", "emb"])
def test_a_verb_that_is_not_declared_is_refused_even_for_a_person(verb: str) -> None:
    verdict = decide(request(verb=verb, verbs=frozenset({"score", "embed"})))

    assert verdict.decision is Decision.REFUSE
    assert verdict.rule == "verbs: what is not declared is refused"
    assert verdict.reason == f"{verb!r} is not one of the verbs embed, score"
    assert verdict.remedy == "Ask for one of these; a new verb must be declared before it is used"


def test_where_no_verb_is_declared_none_is_allowed() -> None:
    verdict = decide(request(verbs=frozenset()))

    assert verdict.decision is Decision.REFUSE
    assert verdict.reason == "'embed' is not one of the verbs (none)"


@pytest.mark.parametrize("kind", ["agent", "Person", "person ", "root"])
def test_an_unknown_kind_of_principal_is_refused(kind: str) -> None:
    verdict = decide(request(kind))

    assert verdict.decision is Decision.REFUSE
    assert verdict.reason == f"no rule covers a principal of the kind {kind!r}"
    assert verdict.remedy == "Have a person run this from their own account"


@pytest.mark.parametrize("host", ["example.org", "huggingface.co.example.org", "www.huggingface.co", ""])
def test_a_host_outside_the_closed_list_is_refused_even_for_a_person(host: str) -> None:
    verdict = decide(request(verb="fetch", hosts=("huggingface.co", host)))

    assert verdict.decision is Decision.REFUSE
    assert verdict.rule == "hosts: a closed list for each verb"
    assert verdict.reason == (
        f"fetch may contact huggingface.co and *.hf.co, but this request contacts {host}"
    )
    assert verdict.remedy.startswith("Unset the variable that names another server (HF_ENDPOINT, ")


@pytest.mark.parametrize("decision", [Decision.ASK, Decision.REFUSE, Decision.ERROR])
def test_a_verdict_that_allows_nothing_has_a_remedy(decision: Decision) -> None:
    with pytest.raises(ValueError, match="the rule 'a rule' does not allow a request, and says no remedy"):
        Verdict(decision=decision, rule="a rule", reason="a reason")


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_each_host_is_known_to_the_verbs_that_need_it_alone(verb: str) -> None:
    hosts = {"fetch": "huggingface.co", "finetune": "api.wandb.ai", "pretrain": "api.wandb.ai"}

    for host in ("huggingface.co", "api.wandb.ai"):
        verdict = decide(request(verb=verb, hosts=(host,)))
        assert (verdict.decision is Decision.ALLOW) == (hosts.get(verb) == host), host


def test_decisions_are_ordered_by_gravity() -> None:
    assert Decision.ALLOW < Decision.ASK < Decision.REFUSE < Decision.ERROR


def test_the_policy_needs_nothing_but_the_standard_library() -> None:
    script = (
        "import sys; before = set(sys.modules); import biofm.policy\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - set(sys.stdlib_module_names)))"
    )

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    assert done.stdout.strip() == "['biofm']"
