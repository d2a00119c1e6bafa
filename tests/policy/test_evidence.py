"""Evidence is closed: every field is required and has its type."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from biofm.policy import Alteration, Approval, Evidence, Labels
from tests.policy.requests import found

NAMES = [field.name for field in fields(Evidence)]


@pytest.mark.parametrize("field", NAMES)
def test_every_field_of_evidence_is_required(field: str) -> None:
    given = {name: getattr(found(), name) for name in NAMES if name != field}
    with pytest.raises(TypeError, match=f"missing 1 required keyword-only argument: '{field}'"):
        Evidence(**given)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("held", 0),
        ("held", None),
        ("held", "UP"),
        ("inputs", {"input": 1}),
        ("inputs", {1: Labels.NONE}),
        ("alters", [1]),
        ("alters", (1,)),
        ("outside", ("a",)),
        ("approval", "live"),
        ("approval", True),
        ("is_confined", 1),
        ("is_confined", None),
        ("models", "signed"),
        ("screening", "Pass"),
    ],
)
def test_evidence_of_another_type_is_an_error(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"evidence|labels of|role of"):
        found(**{field: value})


@pytest.mark.parametrize("change", [{"path": "a"}, {"what": "moves"}, {"maker": "root"}, {"maker": None}])
def test_an_alteration_says_what_is_lost_and_who_made_it(change: dict[str, Any]) -> None:
    sound: dict[str, Any] = {"path": Path("a"), "what": "deletes", "maker": "own"}
    assert Alteration(**sound).maker == "own"
    with pytest.raises(ValueError, match=r"alteration|maker"):
        Alteration(**sound | change)


def test_evidence_does_not_change_when_the_callers_dictionary_does() -> None:
    inputs = {"input": Labels.PRIVATE}
    evidence = found(inputs=inputs, approval=Approval.LIVE)
    inputs["input"] = Labels.NONE
    assert evidence.inputs["input"] is Labels.PRIVATE
