"""The card of a holder says which of P, X and E it has, and why it does not get the rest."""

from itertools import product

import pytest

from biofm.api.request import VERBS
from biofm.policy import Labels, Principal
from biofm.policy.files import SHIPPED
from biofm.policy.policies import Invalid, Policy
from biofm.policy.rights import Rights, rights_of
from tests.policy.requests import parsed, shipped

U, P, X, E = Labels
PERSON = Principal(kind="person", name="rosalind")
SINK = "sinks: [{name: pacs, host: 10.0.0.5, port: 104, verbs: [save], content: [seg]}]"


def card(held: Labels = Labels.NONE, *policies: Policy | Invalid) -> Rights:
    return rights_of(PERSON, held, policies or [shipped("research")], VERBS)


def standings(found: Rights) -> str:
    return " ".join(f"{one.letter}={one.standing}" for one in found.rights)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        (Labels.NONE, "P=open X=open E=open"),
        (U, "P=open X=open E=open"),
        (P, "P=held X=open E=open"),
        (U | P, "P=held X=open E=asked"),
        (P | X, "P=held X=held E=refused"),
        (P | E, "P=held X=refused E=held"),
        (X | E, "P=refused X=held E=held"),
    ],
)
def test_under_research_a_holder_may_have_any_two_of_the_three(held: Labels, expected: str) -> None:
    assert standings(card(held)) == expected


def test_script_has_no_private_data_and_no_hosts() -> None:
    found = card(Labels.NONE, shipped("script"))
    assert standings(found) == "P=refused X=open E=refused"
    assert found.rights[0].reason == "a script may not read private data (script: no-private-data)"
    assert found.rights[2].reason == "no policy in force lists a host or a sink"


def test_a_clinical_agent_runs_no_program_and_sends_to_sinks_alone() -> None:
    assert standings(card(Labels.NONE, shipped("clinical-agent"))) == "P=open X=refused E=refused"
    assert standings(card(U | P, shipped("clinical-agent", ("sinks: []", SINK)))) == "P=held X=refused E=open"


def test_what_one_of_two_policies_refuses_is_refused() -> None:
    found = card(Labels.NONE, shipped("script"), shipped("clinical-agent"))
    assert standings(found) == "P=refused X=refused E=refused"
    assert found.policies == ("script", "clinical-agent")


def test_an_invalid_policy_refuses_everything() -> None:
    broken = parsed("policy: research\n")
    assert isinstance(broken, Invalid)
    found = card(Labels.NONE, broken)
    assert standings(found) == "P=refused X=refused E=refused"
    assert found.policies == ("policy.yaml",)


def test_the_third_is_refused_under_every_policy_to_whoever_has_two() -> None:
    for name, third in product(SHIPPED, (P, X, E)):
        found = card((P | X | E) & ~third, shipped(name))
        assert sorted(one.standing for one in found.rights) == ["held", "held", "refused"]


def test_the_card_is_a_text_that_names_the_two_and_the_refused_third() -> None:
    lines = card(U | P | X).text().splitlines()
    assert lines[:3] == ["holder    rosalind", "policies  research", "holds     UPX"]
    assert lines[3] == "P         private data is held"
    assert lines[5].startswith(
        "E         external communication is refused: P (private data), X (execution of"
    )
    assert lines[6] == "This holder has P and X; E is refused, because no one has all three."
    assert card().text().splitlines()[-1] == "Of P, X and E a holder may have two; the third is then refused."
