"""Each kind of entry is exported as a valid AuditEvent of FHIR R5."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fhir.resources.auditevent import AuditEvent

from biofm.gate import Ledger, ask, ledger_path
from biofm.gate.ledger.entries import KINDS, canonical
from biofm.gate.ledger.fhir import audit_event
from biofm.gate.ledger.reading import entries_of
from biofm.policy import Decision, Request, Target, Verdict
from tests.gate.ledger.damage import fill


def test_every_kind_is_a_valid_audit_event(make_request: Callable[..., Request], tmp_path: Path) -> None:
    (tmp_path / "in").touch()
    reads, writes = {"input": tmp_path / "in"}, {"output": Target(path=tmp_path / "\udce9 out")}
    for decision in Decision:
        verdict = Verdict(decision=decision, rule="a rule", reason="A reason.", remedy="Do this", evidence=())
        Ledger(ledger_path()).remember(make_request(reads, writes, verb=f"{decision.name} \n"), verdict)
    with ask(make_request(reads)):
        pass
    path = tmp_path / "other.sqlite3"
    fill(path, 30)
    entries = [*entries_of(ledger_path()), *entries_of(path)]
    assert {entry.fields["kind"] for entry in entries} == set(KINDS)
    for entry in entries:
        event = audit_event(entry, "a" * 32)
        valid: Any = AuditEvent.model_validate(json.loads(canonical(event)))
        assert valid.entity[0].detail[1].valueString == entry.body
        assert valid.entity[0].detail[0].valueString == entry.hash
        assert valid.code.coding[0].code == entry.fields["kind"]


def test_who_asked_what_for_which_files_and_how_it_ended_stands_in_its_place(
    make_request: Callable[..., Request], tmp_path: Path
) -> None:
    (tmp_path / "in").touch()
    with ask(make_request({"input": tmp_path / "in"})):
        pass
    _, request, _, outcome = (audit_event(entry, "a" * 32) for entry in entries_of(ledger_path()))
    assert request["code"]["text"] == "embed"
    assert request["agent"][0]["requestor"] is True
    assert request["outcome"]["code"]["code"] == "success"
    assert request["entity"][1] == {
        "what": {"display": str(tmp_path / "in")}, "role": {"text": "reads input"},
    }  # fmt: skip
    assert outcome["outcome"]["code"]["code"] == "success"
