"""What the shipped policies decide, one rule after another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from biofm.api.request import VERBS
from biofm.policy import (
    Approval,
    Content,
    Decision,
    Labels,
    Models,
    Principal,
    Request,
    Screening,
)
from biofm.policy.files import SHIPPED
from biofm.policy.policies import Invalid, Policy
from biofm.policy.rules import decide, judge, labels_raised
from tests.policy.requests import FREE, TEXTS, alteration, asking, found, parsed, shipped

U, P, X, E = Labels
RESEARCH, SCRIPT, CLINICAL = map(shipped, SHIPPED)
PRIVATE_INPUT = {"input": U | P}
SINK = "[{name: pacs, host: 10.0.0.5, port: 104, verbs: [embed], content: [numbers, seg]}]"
WITH_SINK = shipped("clinical-agent", ("sinks: []", f"sinks: {SINK}"))
AGENT = Principal(kind="agent", name="lab-7")
HUB = ("huggingface.co", "*.huggingface.co", "*.hf.co")
WEIGHTS_AND_BIASES = ("api.wandb.ai", "storage.googleapis.com")
TYPED = frozenset({Content.NUMBERS, Content.SEG})


def decision(request: Request, policy: Policy | Invalid = RESEARCH, **evidence: object) -> Decision:
    return decide(request, found(**evidence), [policy]).decision


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_research_allows_a_person_every_verb_that_is_declared(verb: str) -> None:
    verdict = decide(asking(verb=verb), found(), [RESEARCH])

    assert verdict.decision is Decision.ALLOW
    assert (verdict.rule, verdict.remedy) == ("research: a-person", "")
    assert verdict.reason == "people are responsible for what they run"


@pytest.mark.parametrize("verb", sorted(VERBS))
@pytest.mark.parametrize("maker", ["own", "account", "other"])
@pytest.mark.parametrize("held", [U, P, U | P, U | P | X, U | P | E, U | X | E])
def test_research_neither_asks_nor_refuses_where_nothing_leaves_the_machine(
    verb: str, maker: str, held: Labels
) -> None:
    """Overwriting is allowed too, and a holder who has sent something before may go on to compute."""
    evidence = found(held=held, inputs={"input": U}, alters=(alteration(maker),), is_confined=False)
    assert decide(asking(verb=verb), evidence, [RESEARCH]).decision is Decision.ALLOW


@pytest.mark.parametrize("verb", ["synthesise", "Embed", "embed ", "emb"])
def test_a_verb_that_is_not_declared_is_refused_even_for_a_person(verb: str) -> None:
    verdict = decide(asking(verb=verb), found(), [RESEARCH])

    assert verdict.decision is Decision.REFUSE
    assert verdict.rule == "research: what is not declared is refused"
    assert verdict.reason.startswith(f"{verb!r} is not one of the verbs configure, contacts, ")


@pytest.mark.parametrize("kind", ["agent", "Person", "person ", "root"])
def test_research_covers_persons_alone(kind: str) -> None:
    verdict = decide(asking(principal=Principal(kind=kind, name="rosalind")), found(), [RESEARCH])

    assert verdict.decision is Decision.REFUSE
    assert verdict.rule == "research: what no rule covers is refused"
    assert verdict.reason == f"no rule of the policy covers embed by a principal of the kind {kind!r}"


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "huggingface.co.example.org",
        "huggingface.com",
        "",
        "hf.co",
        "*.hf.co.",
        "evil/.hf.co",
        "HUGGINGFACE.CO",
        "huggingface.co:443",
        "a@b.hf.co",
        "*.*.hf.co",
        "x.hf.co\n",
        "huggingface.co.",
    ],
)
def test_a_host_outside_the_closed_list_is_refused_even_for_a_person(host: str) -> None:
    verdict = decide(asking(verb="fetch", hosts=("huggingface.co", host)), found(), [RESEARCH])

    assert verdict.decision is Decision.REFUSE
    assert verdict.rule == "research: a closed list of hosts for each verb"
    assert verdict.reason == (
        f"fetch may contact huggingface.co and *.huggingface.co and *.hf.co, but this request contacts {host}"
    )
    assert "`biofm policy show research`" in verdict.remedy
    assert verdict.remedy.endswith("under hosts, fetch")


@pytest.mark.parametrize("host", [*HUB, "cdn-lfs.huggingface.co", "cdn-lfs.hf.co", "a.b.hf.co"])
def test_a_listed_host_and_the_sub_domains_of_a_pattern_are_allowed(host: str) -> None:
    assert decision(asking(verb="fetch", hosts=(host,))) is Decision.ALLOW


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_each_host_is_known_to_the_verbs_that_need_it_alone(verb: str) -> None:
    hosts = {"fetch": "huggingface.co", "finetune": "api.wandb.ai", "pretrain": "api.wandb.ai"}

    for host in ("huggingface.co", "api.wandb.ai"):
        is_allowed = decision(asking(verb=verb, hosts=(host,))) is Decision.ALLOW
        assert is_allowed == (hosts.get(verb) == host), host


def test_research_lists_the_hosts_that_biofm_contacts() -> None:
    assert RESEARCH.hosts == {"fetch": HUB, "finetune": WEIGHTS_AND_BIASES, "pretrain": WEIGHTS_AND_BIASES}


def test_a_mirror_that_the_policy_lists_is_allowed() -> None:
    policy = shipped("research", ("[huggingface.co,", "[mirror.lab, 10.0.0.7, huggingface.co,"))
    assert decision(asking(verb="fetch", hosts=("mirror.lab", "10.0.0.7")), policy) is Decision.ALLOW


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("held", [P | X | E, P | X, P | E, X | E, P, X, E, Labels.NONE])
@pytest.mark.parametrize("approval", Approval)
def test_private_data_code_and_other_machines_never_come_together(
    name: str, held: Labels, approval: Approval
) -> None:
    """A request brings what the holder lacks of the three. No approval helps."""
    text = TEXTS[name].replace("hosts: {}", "hosts: {fetch: [huggingface.co]}")
    request = asking(
        verb="fetch",
        code=() if X in held else ("program.pt2",),
        hosts=() if E in held else ("huggingface.co",),
    )
    evidence = found(held=held, inputs={} if P in held else {"input": P}, approval=approval)

    verdicts = judge(request, evidence, [parsed(text)])

    assert [one.decision for one in verdicts if one.rule.endswith("the rule of three")] == [Decision.REFUSE]


def test_under_research_private_data_beside_untrusted_input_goes_out_only_with_approval() -> None:
    request = asking(verb="fetch", hosts=HUB)

    verdict = decide(request, found(held=U | P), [RESEARCH])
    assert (verdict.decision, verdict.rule) == (Decision.ASK, "research: the rule of two")
    assert verdict.evidence == ("held: UP", "raised: E", "sends: free")
    assert decision(request, held=U) is Decision.ALLOW
    assert decision(request, held=P) is Decision.ALLOW
    assert decision(request, held=U | P, approval=Approval.LIVE) is Decision.ALLOW
    for approval in set(Approval) - {Approval.LIVE}:
        assert decision(request, held=U | P, approval=approval) is Decision.ASK
    assert decision(request, held=U | P | E) is Decision.ASK, "each sending is asked anew"


def test_under_research_what_completes_the_three_without_sending_is_not_asked() -> None:
    assert decision(asking(), held=U | E, inputs={"input": P}) is Decision.ALLOW


def test_the_other_policies_ask_about_whatever_completes_the_three() -> None:
    request = asking(principal=AGENT)
    assert decision(request, CLINICAL, held=U | E, inputs={"input": P}) is Decision.ASK
    assert decision(request, CLINICAL, held=P | E, inputs={"input": U}) is Decision.ASK
    assert decision(request, CLINICAL, held=U | P | E, inputs=PRIVATE_INPUT) is Decision.ALLOW


@pytest.mark.parametrize(("maker", "expected"), [("own", "allow"), ("account", "ask"), ("other", "ask")])
def test_under_the_other_policies_losing_what_the_holder_did_not_make_is_external(
    maker: str, expected: str
) -> None:
    evidence = found(held=U | P, alters=(alteration(maker),))
    request = asking(principal=AGENT)
    assert decide(request, evidence, [CLINICAL]).decision.name.lower() == expected
    assert labels_raised(request, evidence, CLINICAL) == (Labels.NONE if maker == "own" else E)
    assert labels_raised(request, evidence, RESEARCH) == Labels.NONE


def test_script_reads_no_private_data_and_contacts_nobody_and_may_run_a_program() -> None:
    assert (
        decision(asking(principal=AGENT, code=("program.pt2",)), SCRIPT, inputs={"input": U})
        is Decision.ALLOW
    )
    assert decision(asking(principal=AGENT), SCRIPT, inputs=PRIVATE_INPUT) is Decision.REFUSE
    for verb in sorted(VERBS):
        assert decision(asking(verb=verb, hosts=("huggingface.co",)), SCRIPT) is Decision.REFUSE


def test_a_clinical_agent_computes_with_private_data_and_runs_no_program() -> None:
    assert decision(asking(principal=AGENT), CLINICAL, inputs=PRIVATE_INPUT) is Decision.ALLOW
    assert decision(asking(principal=AGENT, code=("program.pt2",)), CLINICAL) is Decision.REFUSE
    assert decision(asking(principal=AGENT, hosts=("huggingface.co",)), CLINICAL) is Decision.REFUSE


def test_a_clinical_agent_loads_signed_models_alone_and_only_where_the_kernel_confines() -> None:
    assert decision(asking(), CLINICAL, models=Models.SIGNED) is Decision.ALLOW
    assert decision(asking(), CLINICAL, models=Models.UNSIGNED) is Decision.REFUSE
    assert decision(asking(), CLINICAL, is_confined=False) is Decision.REFUSE
    assert decision(asking(), RESEARCH, models=Models.UNSIGNED, is_confined=False) is Decision.ALLOW


def test_a_typed_sink_takes_its_content_from_its_verbs_without_approval() -> None:
    def send(**changed: object) -> Decision:
        fields = {"principal": AGENT, "hosts": ("10.0.0.5:104",), "sends": TYPED} | changed
        return decision(asking(**fields), WITH_SINK, held=U | P | E, inputs=PRIVATE_INPUT)

    assert send() is Decision.ALLOW
    assert send(sends=frozenset({Content.NUMBERS})) is Decision.ALLOW
    assert send(sends=FREE) is Decision.REFUSE
    assert send(sends=TYPED | FREE) is Decision.REFUSE
    assert send(sends=frozenset({Content.CODES})) is Decision.REFUSE
    assert send(verb="score") is Decision.REFUSE
    assert send(hosts=("10.0.0.5",)) is Decision.REFUSE
    assert send(hosts=("10.0.0.5:105",)) is Decision.REFUSE
    assert send(hosts=("10.0.0.5:104", "10.0.0.6:104")) is Decision.REFUSE


def test_a_typed_sink_does_not_excuse_what_the_request_overwrites() -> None:
    request = asking(principal=AGENT, hosts=("10.0.0.5:104",), sends=TYPED)
    assert decision(request, WITH_SINK, held=U | P, alters=(alteration("account"),)) is Decision.ASK


def test_files_outside_the_roots_are_refused_by_name() -> None:
    verdict = decide(asking(), found(outside=(Path("/srv/a"),)), [RESEARCH])
    assert verdict.decision is Decision.REFUSE
    assert "/srv/a" in verdict.reason


@pytest.mark.parametrize("status", Screening)
def test_incomplete_skipped_or_failed_screening_never_passes(status: Screening) -> None:
    wanted = ("verbs: []\n  screener: null", "verbs: [embed]\n  screener: commec")
    expected = {
        Screening.PASS: Decision.ALLOW,
        Screening.CLEARED_WARNING: Decision.ALLOW,
        Screening.CLEARED_FLAG: Decision.ALLOW,
        Screening.WARNING: Decision.ASK,
    }.get(status, Decision.REFUSE)
    assert decision(asking(), shipped("research", wanted), screening=status) is expected
    assert decision(asking(verb="score"), shipped("research", wanted), screening=status) is Decision.ALLOW
    no_screener = shipped("research", ("verbs: []\n  screener", "verbs: [embed]\n  screener"))
    assert decision(asking(), no_screener, screening=status) is Decision.REFUSE


def test_an_invalid_policy_is_an_error_that_outranks_every_other_verdict() -> None:
    broken = parsed("policy: research\n")
    assert isinstance(broken, Invalid)
    verdict = decide(asking(verb="synthesise"), found(), [RESEARCH, broken])
    assert verdict.decision is Decision.ERROR
    assert "policy.yaml, the last line: it is not `...`" in verdict.reason


def test_a_policy_that_names_a_verb_that_does_not_exist_is_an_error() -> None:
    verdict = decide(asking(), found(), [shipped("research", ("  fetch:", "  fecth:"))])
    assert verdict.decision is Decision.ERROR
    assert verdict.reason.startswith("the policy names fecth, which is not one of the verbs configure")


def test_where_no_policy_is_in_force_everything_is_refused() -> None:
    assert decide(asking(), found(), []).decision is Decision.REFUSE


def test_every_rule_that_fires_is_told_and_the_first_of_equals_decides() -> None:
    request = asking(principal=AGENT, hosts=("huggingface.co",))
    verdicts = judge(request, found(inputs={"input": P}), [SCRIPT])
    assert [one.rule for one in verdicts] == [
        "script: a closed list of hosts for each verb",
        "script: public-data",
        "script: no-private-data",
        "script: no-network",
    ]
    assert decide(request, found(inputs={"input": P}), [SCRIPT]) == verdicts[0]


def test_decisions_are_ordered_by_gravity() -> None:
    assert Decision.ALLOW < Decision.ASK < Decision.REFUSE < Decision.ERROR


def test_the_policy_needs_nothing_but_the_standard_library_until_a_file_is_read() -> None:
    script = (
        "import sys; before = set(sys.modules); import biofm.policy\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(loaded - set(sys.stdlib_module_names)))"
    )

    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    assert done.stdout.strip() == "['biofm']"
