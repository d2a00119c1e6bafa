"""The real ``decide`` over every combination of labels, effects, verbs, principals and policies."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import pytest

from biofm.api.request import VERBS
from biofm.policy import (
    NEVER_TOGETHER,
    ONLY_WITH_APPROVAL,
    Approval,
    Content,
    Decision,
    Evidence,
    Labels,
    Principal,
    Request,
    Verdict,
    rules,
)
from biofm.policy.files import SHIPPED
from biofm.policy.policies import Invalid, Policy
from biofm.policy.rules import decide, judge, labels_raised
from tests.policy.requests import FREE, alteration, asking, found, parsed, shipped, without_rule

SETS = [Labels(number) for number in range(16)]
INPUTS = [Labels.NONE, Labels.UNTRUSTED, Labels.PRIVATE, Labels.UNTRUSTED | Labels.PRIVATE]
PRINCIPALS = [Principal(kind=kind, name="a") for kind in ("person", "agent", "stranger")]
SINK = "sinks: [{name: pacs, host: pacs.lab, port: 104, verbs: [embed, fetch], content: [numbers]}]"
POLICIES: Sequence[Policy | Invalid] = [
    *map(shipped, SHIPPED),
    shipped("clinical-agent", ("sinks: []", SINK), ("hosts: {}", "hosts: {fetch: [huggingface.co]}")),
    shipped(
        "script", ("judges: completing", "judges: sending"), ("hosts: {}", "hosts: {fetch: [huggingface.co]}")
    ),
    parsed("policy: research\n"),
]
SENDINGS = [
    ((), frozenset()),
    (("huggingface.co",), FREE),
    (("example.org",), FREE),
    (("pacs.lab:104",), frozenset({Content.NUMBERS})),
]

Case = tuple[Request, Evidence]


def every_case(verbs: Sequence[str], approvals: Sequence[Approval] = (Approval.NONE,)) -> Iterator[Case]:
    """Yield every request of these verbs, with every evidence about its labels."""
    for verb, principal, (hosts, sends), code in product(verbs, PRINCIPALS, SENDINGS, ((), ("a.pt2",))):
        request = asking(verb=verb, principal=principal, hosts=hosts, sends=sends, code=code)
        for held, labels, maker, approval in product(SETS, INPUTS, (None, "other"), approvals):
            alters = () if maker is None else (alteration(maker),)
            yield request, found(held=held, inputs={"input": labels}, alters=alters, approval=approval)


def violations(case: Case, policy: Policy) -> Iterator[str]:
    """Yield which of the two rules an allowed request breaks, from their words and not from the code."""
    request, evidence = case
    raised = labels_raised(request, evidence, policy)
    after = evidence.held | raised
    if NEVER_TOGETHER in after:
        yield "three"
    is_typed = request.hosts == ("pacs.lab:104",) and not evidence.alters
    is_excused = evidence.approval is Approval.LIVE or is_typed
    if ONLY_WITH_APPROVAL in after and Labels.EXTERNAL in raised and not is_excused:
        yield "two"


def test_every_request_gets_the_gravest_verdict_of_the_rules_that_fire() -> None:
    n = 0
    for (request, evidence), policy in product(every_case(["fetch", "unknown"]), POLICIES):
        fired = judge(request, evidence, [policy])
        verdict = decide(request, evidence, [policy])
        assert isinstance(verdict, Verdict)
        assert verdict.decision is max(one.decision for one in fired)
        assert verdict in fired
        assert verdict.remedy or verdict.decision is Decision.ALLOW
        n += 1
    assert n == 2 * 3 * 4 * 2 * 16 * 4 * 2 * len(POLICIES)


@pytest.mark.parametrize(
    "verbs",
    [
        pytest.param(["embed", "fetch", "unknown"], id="three verbs"),
        pytest.param([*sorted(VERBS), "unknown"], id="every verb", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("number", range(len(POLICIES)))
def test_no_allowed_request_of_any_verb_breaks_one_of_the_two_rules(number: int, verbs: list[str]) -> None:
    policy, n_allowed = POLICIES[number], 0
    for request, evidence in every_case(verbs):
        if decide(request, evidence, [policy]).decision is Decision.ALLOW:
            assert isinstance(policy, Policy), "an invalid policy allows nothing"
            assert request.verb in VERBS
            assert request.principal.kind != "stranger"
            assert [*violations((request, evidence), policy)] == []
            n_allowed += 1
    assert (n_allowed > 0) == isinstance(policy, Policy)


def test_only_a_live_approval_changes_a_verdict_and_only_from_ask_to_allow() -> None:
    approvals = [Approval.NONE, Approval.LIVE, Approval.USED]
    for (request, evidence), policy in product(every_case(["fetch"], approvals), POLICIES):
        without = found(
            held=evidence.held, inputs=evidence.inputs, alters=evidence.alters, approval=Approval.NONE
        )
        before = decide(request, without, [policy]).decision
        after = decide(request, evidence, [policy]).decision
        is_lifted = before is Decision.ASK and evidence.approval is Approval.LIVE
        assert after is (Decision.ALLOW if is_lifted else before)


def test_a_second_policy_never_makes_a_verdict_milder() -> None:
    for request, evidence in every_case(["fetch"]):
        alone = [decide(request, evidence, [policy]).decision for policy in POLICIES]
        for (first, one), (second, other) in combinations(zip(alone, POLICIES, strict=True), 2):
            assert decide(request, evidence, [one, other]).decision is max(first, second)


@pytest.mark.parametrize(("name", "rule"), [("script", "public-data"), ("clinical-agent", "private-data")])
def test_without_a_rule_that_allows_nothing_is_allowed(name: str, rule: str) -> None:
    less = parsed(without_rule(name, rule))
    for request, evidence in every_case(["embed", "fetch"], [Approval.NONE, Approval.LIVE]):
        assert decide(request, evidence, [less]).decision >= Decision.REFUSE


@pytest.mark.parametrize("name", SHIPPED)
def test_without_a_rule_that_refuses_no_verdict_gets_graver(name: str) -> None:
    policy = shipped(name)
    for rule in policy.rules:
        if rule.decision == "refuse":
            less = parsed(without_rule(name, rule.name))
            milder = graver = 0
            for request, evidence in every_case(["embed", "fetch"]):
                before = decide(request, evidence, [policy]).decision
                after = decide(request, evidence, [less]).decision
                milder += after < before
                graver += after > before
            assert graver == 0
            assert milder > 0 or rule.name == "no-network", "the closed list of hosts refuses it too"


def test_the_search_finds_a_violation_where_the_rules_of_three_and_two_are_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "_judge_labels", lambda *given: iter(()))
    broken = {
        rule
        for (request, evidence), policy in product(every_case(["embed", "fetch"]), POLICIES)
        if decide(request, evidence, [policy]).decision is Decision.ALLOW and isinstance(policy, Policy)
        for rule in violations((request, evidence), policy)
    }
    assert broken == {"two", "three"}
