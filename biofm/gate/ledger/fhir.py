"""Events: each entry of the ledger becomes an AuditEvent of FHIR R5 (https://hl7.org/fhir/R5/auditevent.html).

The package fhir.resources validates R5, so that version is written. Each event holds the entry's number, hash
and body, so that the chain can be checked from the events alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from biofm.gate.ledger.entries import Entry

KINDS = "urn:biofm:ledger:kind"
SEVERITY = "http://hl7.org/fhir/issue-severity"
OUTCOMES = {
    "allow": "success", "ask": "warning", "refuse": "error", "error": "fatal",
    "completed": "success", "interrupted": "warning", "failed": "error",
}  # fmt: skip
ACTIONS = {"opened": "C", "given": "C", "closed": "U", "used": "U"}
ACTIONS_OF_KINDS = {"segment": "C", "output": "C", "label": "U"}
RUNS = "E"


def audit_event(entry: Entry, ledger: str) -> dict[str, Any]:
    """Return an entry as an AuditEvent.

    Args:
        entry: The entry.
        ledger: The id of the ledger.

    Raises:
        ValueError: The body of the entry is no JSON.
    """
    fields = entry.fields
    kind = str(fields["kind"])
    action = ACTIONS.get(str(fields.get("action")), ACTIONS_OF_KINDS.get(kind, RUNS))
    event = {
        "resourceType": "AuditEvent",
        "id": f"{ledger}-{entry.seq}",
        "code": {"coding": [{"system": KINDS, "code": kind}], "text": str(fields.get("verb") or kind)},
        "action": action,
        "recorded": fields["time"],
        "agent": [_agent(fields)],
        "source": {"observer": {"display": "biofm"}},
        "entity": [_entity_of(entry, ledger), *_files(fields)],
    }
    word = fields.get("decision") or fields.get("outcome")
    if word in OUTCOMES:
        event["outcome"] = {"code": {"system": SEVERITY, "code": OUTCOMES[word]}}
        if why := fields.get("reason") or fields.get("error"):
            event["outcome"]["detail"] = [{"text": str(why)}]
    return event


def _agent(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return who acted: the one who asks, the holder of labels, or biofm itself."""
    who = fields.get("user") or fields.get("holder")
    if not who:
        return {"who": {"display": "biofm"}, "requestor": False}
    agent = {"who": {"display": str(who)}, "requestor": "user" in fields}
    if principal := fields.get("principal"):
        agent["type"] = {"text": str(principal)}
    return agent


def _entity_of(entry: Entry, ledger: str) -> dict[str, Any]:
    return {
        "what": {"identifier": {"system": f"urn:biofm:ledger:{ledger}", "value": str(entry.seq)}},
        "detail": [
            {"type": {"text": "hash"}, "valueString": entry.hash},
            {"type": {"text": "body"}, "valueString": entry.body},
        ],
    }


def _files(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the files that are read and written, with their roles."""
    for role, paths in fields.get("reads", {}).items():
        yield from ({"what": {"display": path}, "role": {"text": f"reads {role}"}} for path in paths)
    for role, target in fields.get("writes", {}).items():
        yield {"what": {"display": target["path"]}, "role": {"text": f"writes {role}"}}
    if fields.get("path"):
        yield {"what": {"display": fields["path"]}, "role": {"text": "made"}}
